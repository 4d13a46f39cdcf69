"""What the verbs of the `ranvier` command do; each module has a `main(options)`."""

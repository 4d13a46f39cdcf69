"""What the command `ranvier` says where the package itself cannot be imported."""

import sys
from pathlib import PurePath


def exit_command(error: ImportError) -> None:
    """Ends the process with one line and status 2 if it is the command; else does nothing.

    The command is `ranvier`, or `python -m ranvier`, and both import the package before any line of
    theirs can catch an error.
    """
    name = sys.argv[0] if getattr(sys, "argv", None) else ""
    if name == "-m":  # until the module is found
        name = sys.orig_argv[sys.orig_argv.index("-m") + 1]
    if PurePath(name).stem == "ranvier":
        sys.stderr.write(f"ranvier: error: {error}\n")
        raise SystemExit(2)

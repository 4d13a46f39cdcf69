"""What the command `ranvier` says before it can say anything: while the package is imported."""

import os
import re
import signal
import sys


def is_command() -> bool:
    """Whether this process is the command: `ranvier`, or `python -m ranvier`.

    Both import the package before any line of theirs can catch an error.
    """
    name = sys.argv[0] if getattr(sys, "argv", None) else ""
    if name == "-m":  # until the module is found; the options may read -m M, -mM, -Im M
        found = re.search(r"(?:^| )-[a-zA-Z]*?m ?(\S+)", " ".join(sys.orig_argv[1:]))
        return found is not None and found[1] in ("ranvier", "ranvier.cli")
    return os.path.splitext(os.path.basename(name))[0] == "ranvier"


def exit_command(error: ImportError) -> None:
    """Ends the process with one line and status 2 if it is the command; else does nothing."""
    if is_command():
        sys.stderr.write(f"ranvier: error: {error}\n")
        raise SystemExit(2)


def watch_imports() -> None:
    """Ctrl-C ends the command at once, with one line and status 130, until `watch_command`."""

    def leave(number: int, frame: object) -> None:
        os.write(2, b"\nranvier: interrupted\n")
        os._exit(130)  # an exception could be caught, or printed, by whatever is being imported

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)


def watch_command() -> None:
    """From here on Ctrl-C is a KeyboardInterrupt, which the command catches."""
    if getattr(signal.getsignal(signal.SIGINT), "__module__", None) == __name__:
        signal.signal(signal.SIGINT, signal.default_int_handler)

"""Ctrl-C that waits for the end of the step."""

from __future__ import annotations

import signal
import threading
from typing import Any


class Interrupted(KeyboardInterrupt):
    """Ctrl-C came; the step under way was finished and, with a Checkpoint, everything is saved."""


class Interrupts:
    """Notes the first Ctrl-C for later; the second one acts at once, as if nobody watched.

    Attributes:
        came: whether there was one.
    """

    def __init__(self) -> None:
        self.came = False
        self._old: Any = None

    def watch(self) -> None:
        """Begin; only the main thread of a process may, in others nothing happens."""
        if threading.current_thread() is threading.main_thread():
            self._old = signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: Any) -> None:
        self.came = True
        self.release()

    def release(self) -> None:
        """Give the signal back to who had it."""
        if self._old is not None:
            signal.signal(signal.SIGINT, self._old)
            self._old = None

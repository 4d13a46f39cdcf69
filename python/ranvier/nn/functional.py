"""`ranvier.functional` under PyTorch's path: `import ranvier.nn.functional as F`."""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from ranvier import functional as _functional
from ranvier.functional import *  # noqa: F403 - every public name, as it is

if not _TYPE_CHECKING:  # mypy shall go on refusing names that are not there

    def __getattr__(name: str) -> _Any:
        return getattr(_functional, name)  # which says what to write instead

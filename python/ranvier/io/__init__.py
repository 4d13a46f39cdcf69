"""Files: safetensors weights, nested states, typed configurations. Never a pickle."""

from .files import atomic_write, remove_remains, write_text
from .safetensors import load_arrays, load_file, read_header, save_file
from .state import load, load_state, save, save_state

__all__ = [
    "atomic_write",
    "load",
    "load_arrays",
    "load_file",
    "load_state",
    "read_header",
    "remove_remains",
    "save",
    "save_file",
    "save_state",
    "write_text",
]

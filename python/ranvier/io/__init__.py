"""Files: safetensors weights and typed configurations. No file of ours is ever a pickle."""

from .files import atomic_write, write_text
from .safetensors import load_arrays, load_file, read_header, save_file

__all__ = ["atomic_write", "load_arrays", "load_file", "read_header", "save_file", "write_text"]

"""GPUs: whether one can be used, what it is, waiting for it, and its memory.

The kernels for GPUs are a library of their own beside the package, opened when a device "cuda" is
first asked for. Under ``RANVIER_EMULATE=1`` the same kernels run on the host instead, compiled from
the same sources and watched for mistakes: slow, for tests without a GPU. With
``RANVIER_EMULATE=traffic`` they count memory traffic (bench/traffic.py).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ranvier import _core

_README = "see 'GPU' in the README"
_opened: bool | None = None


def is_emulated() -> bool:
    """Whether ``RANVIER_EMULATE=1`` makes the device "cuda" mean the emulation on the host."""
    return os.environ.get("RANVIER_EMULATE", "") not in ("", "0")


def library_path() -> Path:
    """Where the library is, or would be."""
    emulated = "_traffic.so" if os.environ.get("RANVIER_EMULATE") == "traffic" else "_emulation.so"
    name = emulated if is_emulated() else "_cuda.so"
    return Path(_core.__file__).with_name(name)


def is_available() -> bool:
    """Whether tensors can live on the device "cuda" here; `why_not` says what is missing."""
    return _open()


def why_not() -> str:
    """What is missing, and the cure; empty when nothing is."""
    if _open():
        return ""
    return _problem


_problem = ""


def _open() -> bool:
    """Opens the library at the first call. A failure is kept, with its reason."""
    global _opened, _problem
    if _opened is None:
        path = library_path()
        try:
            if not path.exists():
                _problem = (
                    f"this build has no {path.name}: build it with -DRANVIER_EMULATION=ON, or "
                    "-DRANVIER_EMULATION_TRAFFIC=ON for that which counts traffic"
                    if is_emulated()
                    else f"this build has no CUDA kernels: install it with them, {_README}"
                )
            else:
                _core.open_device_library(str(path))
                wanted = os.environ.get("RANVIER_CUDA_UNPROVEN", "")
                _allow([name for name in wanted.split(",") if name])
        except (RuntimeError, ValueError) as error:
            _problem = str(error).removeprefix("[cuda] ")
        _opened = not _problem
        if _problem:
            _core.set_device_problem(_problem)
    return _opened


def _code(device: Any) -> int:
    from ranvier.dtypes import as_device

    found = as_device("cuda" if device is None else device)
    if found.type != "cuda":
        raise TypeError(f"[cuda] expected a device such as 'cuda:0', got {str(found)!r}")
    return found.code


def device_count() -> int:
    """Number of GPUs; 0 where none can be used."""
    return _core.device_count() if _open() else 0


def device_name(device: Any = None) -> str:
    """Name, memory, processors and driver of a GPU, `device` or the first one, in one line."""
    return _core.device_text(_code(device) & 255)


def synchronize(device: Any = None) -> None:
    """Waits until a GPU has done all that was asked of it.

    Kernels run behind Python's back: time is measured between two calls of this.

    Args:
        device: which GPU, such as "cuda:1"; the first one unless given.

    Raises:
        IndexError: a kernel met an index out of range.
        RuntimeError: a kernel failed.
    """
    _core.device_synchronize(_code(device))


def memory_stats(device: Any = None) -> dict[str, int]:
    """Bytes that tensors take ("in_use"), that are kept for new ones ("cached"), and the "peak".

    `device` tells the GPU; the first one unless given.
    """
    in_use, cached, peak = _core.device_memory_stats(_code(device))
    return {"in_use": in_use, "cached": cached, "peak": peak}


def reset_peak_memory(device: Any = None) -> None:
    """Lets the peak of `device` begin again from what is in use now."""
    _core.reset_device_peak(_code(device))


def empty_cache() -> None:
    """Gives memory that is kept for new tensors back to the system, on every device."""
    _core.empty_cache()


def kernels() -> list[str]:
    """Names of the kernels that the library has; an op without one raises on this device."""
    return _core.device_kernels() if _open() else []


# Kernels that no GPU has run yet, and what they are. In the order of cuda/core/unproven.h.
_UNPROVEN = {
    "tf32x3": "float32 products as three of TensorFloat-32",
    "hopper": "products of matrices by warp-group instructions and bulk copies (sm_90a)",
    "hopper_narrow": "the same by tiles of 64 columns, where they fit better (sm_90a)",
    "hopper_gather": "convolutions and other products by warp-group instructions (sm_90a)",
    "hopper_im2col": "convolutions whose pixels bulk copies bring (sm_90a)",
    "hopper_lstm": "LSTM whose recurrent weights stay in a cluster's shared memory (sm_90a)",
}
_allowed: tuple[str, ...] = ()


def _allow(names: Sequence[str]) -> None:
    global _allowed
    for name in names:
        if name not in _UNPROVEN:
            raise ValueError(
                f"[cuda] expected {' or '.join(map(repr, _UNPROVEN))} as a path to allow, got "
                f"{name!r}"
            )
    _core.device_option("unproven", ",".join(names))
    _allowed = tuple([name for name in _UNPROVEN if name in names])


def allow_unproven(*names: str) -> None:
    """Lets ops use kernels that are correct under emulation, but that no GPU has run yet.

    * ``"tf32x3"``: under the precision ``"highest"``, float32 products on tensor cores, each as
      three products of TensorFloat-32. Errors are of float32's class; factors beyond 2^127 in
      magnitude or below 2^-116, and infinite ones, differ.
    * ``"hopper"``: products of matrices by the instructions of compute capability 9.0, in half
      precision and under ``"high"``, where the rows of both factors lie along the sum, as those of
      a linear layer's forward pass do, at multiples of 16 bytes.
    * ``"hopper_narrow"``: with ``"hopper"`` or ``"hopper_im2col"``, tiles of 64 columns instead of
      128 where fewer columns of them stay empty, or more processors find work.
    * ``"hopper_gather"``: the three passes of a convolution, and products of matrices that
      ``"hopper"`` does not take, by the same instructions, where channels (or the rows of the
      factors, either way) come in multiples of 16 bytes.
    * ``"hopper_im2col"``: convolutions without groups and their data gradients, likewise, where
      bulk copies can bring the pixels: channels in multiples of 16 bytes, strides up to 8, filters
      and padding that stay within 128 pixels. It goes before ``"hopper_gather"``.
    * ``"hopper_lstm"``: LSTMs in float32 of up to 320 units (272 where gradients are wanted),
      without projection: a cluster of blocks keeps the recurrent weights. The same bits as before.

    Other calls, and other GPUs, keep the kernels that they have. Call it before the first step
    that is captured; ``RANVIER_CUDA_UNPROVEN=tf32x3,hopper`` does the same for a process.

    Args:
        names: the paths to allow; all others are switched off, so no name switches off all.

    Raises:
        ValueError: another name.
        RuntimeError: there is no GPU.
    """
    if not _open():
        raise RuntimeError(f"[cuda] expected a GPU that can be used here - {_problem}")
    _allow(names)


def unproven() -> dict[str, bool]:
    """Kernels that no GPU has run yet, and whether they are allowed; see `allow_unproven`."""
    return {name: name in _allowed for name in _UNPROVEN}


@contextlib.contextmanager
def emulation_order(order: str | int) -> Iterator[None]:
    """Runs the emulated threads and blocks "forward", in "reverse", or shuffled by a seed.

    Raises:
        ValueError: another order, or a device that is not emulated.
    """
    _core.device_option("order", str(order))
    try:
        yield
    finally:
        _core.device_option("order", "forward")

"""ranvier: a neural-network library that is its own down to the last kernel.

import ranvier as rv
x = rv.tensor([1.0, 2.0], requires_grad=True)
(x * x).sum().backward()
x.grad                      # tensor([2., 4.])
"""

from typing import Any as _Any

from ranvier import _command

if _command.is_command():
    _command.watch_imports()
try:
    from ranvier import _core
except ImportError as _error:  # RANVIER_CPU asks for what is not there, or a broken build
    _command.exit_command(_error)
    raise
from ranvier import cuda, functional, models, names, nn, optim
from ranvier._core import cpu_level, num_threads, set_num_threads
from ranvier.autocast import autocast, autocast_dtype
from ranvier.autograd import (
    Function,
    detect_anomaly,
    enable_grad,
    is_grad_enabled,
    no_grad,
)
from ranvier.capture import CaptureError, capture, is_capturing
from ranvier.creation import (
    arange,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from ranvier.dtypes import (
    Device,
    DType,
    bfloat16,
    float16,
    float32,
    float64,
    int32,
    int64,
    uint8,
)
from ranvier.dtypes import (
    as_device as device,
)
from ranvier.dtypes import (
    bool_ as bool,
)
from ranvier.precision import get_matmul_precision, set_matmul_precision
from ranvier.random import (
    bernoulli,
    categorical,
    get_rng_state,
    manual_seed,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    set_rng_state,
    uniform,
)
from ranvier.summary import summary
from ranvier.tensor import Tensor, from_dlpack, from_numpy, tensor

# Imported when first asked for, so that `import ranvier` stays quick.
_LAZY = {
    "data": ("ranvier.data", None),
    "io": ("ranvier.io", None),
    "train": ("ranvier.train", None),
    "load": ("ranvier.io", "load"),
    "save": ("ranvier.io", "save"),
}


# Modules that are imported beside the names that people type.
_INTERNAL = {
    "bytecode",
    "creation",
    "cures",
    "dtypes",
    "guards",
    "names",
    "ops",
    "precision",
    "values",
    "watch",
}


def __getattr__(name: str) -> _Any:
    if name == "__version__":
        from importlib import metadata

        try:
            value: _Any = metadata.version("ranvier")
        except metadata.PackageNotFoundError:  # a source tree that is not installed
            value = "0+source"
    elif name in _LAZY:
        from importlib import import_module

        path, attribute = _LAZY[name]
        module = import_module(path)
        value = getattr(module, attribute) if attribute else module
    elif not name.startswith("_") and hasattr(functional, name):  # rv.matmul, rv.cat ...
        value = getattr(functional, name)
    elif name in names.ALIASES:
        value = getattr(functional, names.ALIASES[name])
    elif name in names.VALUES:
        value = names.VALUES[name]
    else:
        from ranvier.cures import missing as _missing

        raise _missing("ranvier", name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    ops = [name for name in vars(functional) if not name.startswith("_")]
    known = {*globals(), *_LAZY, *ops, *names.ALIASES, *names.VALUES, "__version__"}
    return sorted(n for n in known - _INTERNAL if n.startswith("__") or not n.startswith("_"))

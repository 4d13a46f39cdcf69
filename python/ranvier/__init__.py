"""ranvier: a neural-network library that is its own down to the last kernel.

import ranvier as rv
x = rv.tensor([1.0, 2.0], requires_grad=True)
(x * x).sum().backward()
x.grad                      # tensor([2., 4.])
"""

from importlib import metadata as _metadata

from ranvier import _core, functional, models, nn, optim
from ranvier._core import cpu_level, num_threads, set_num_threads
from ranvier.autograd import (
    Function,
    detect_anomaly,
    enable_grad,
    is_grad_enabled,
    no_grad,
)
from ranvier.capture import CaptureError, capture, is_capturing
from ranvier.creation import arange, empty, empty_like, full, ones, ones_like, zeros, zeros_like
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
from ranvier.random import (
    bernoulli,
    get_rng_state,
    manual_seed,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    set_rng_state,
)
from ranvier.summary import summary
from ranvier.tensor import Tensor, from_dlpack, from_numpy, tensor

try:
    __version__ = _metadata.version("ranvier")
except _metadata.PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+source"

"""The same numbers in other shapes: each function is NumPy's, each backward its inverse."""

import numpy as np

from .binary import unbroadcast


def reshape(x: np.ndarray, *shape: int) -> np.ndarray:
    """The elements in row-major order, in another shape."""
    return np.reshape(x, shape)


def reshape_backward(grad: np.ndarray, x: np.ndarray, *shape: int) -> np.ndarray:
    """Back to the shape of x."""
    return np.reshape(grad, x.shape)


def permute(x: np.ndarray, *dims: int) -> np.ndarray:
    """Axis i of the result is axis dims[i] of x."""
    return np.transpose(x, dims)


def permute_backward(grad: np.ndarray, x: np.ndarray, *dims: int) -> np.ndarray:
    """The inverse permutation."""
    return np.transpose(grad, np.argsort(np.array(dims) % len(dims)))


def expand(x: np.ndarray, *shape: int) -> np.ndarray:
    """Axes of size 1 repeated; -1 keeps a size."""
    padded = (1,) * (len(shape) - x.ndim) + x.shape
    sizes = [have if want == -1 else want for have, want in zip(padded, shape, strict=True)]
    return np.broadcast_to(x, sizes)


def expand_backward(grad: np.ndarray, x: np.ndarray, *shape: int) -> np.ndarray:
    """The sum over all copies of an element."""
    return unbroadcast(grad, x.shape)


def clone(x: np.ndarray) -> np.ndarray:
    """A copy."""
    return x.copy()


def clone_backward(grad: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The gradient itself."""
    return grad

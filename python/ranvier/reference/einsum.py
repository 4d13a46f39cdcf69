"""Sums of products over named axes: NumPy's einsum forward, and by hand backward.

Source: Einstein, Die Grundlage der allgemeinen Relativitaetstheorie (1916), section 5.
"""

from typing import Any

import numpy as np


def einsum(equation: str, *operands: np.ndarray) -> np.ndarray:
    """The equation ij,jk->ik is y_ik = sum_j a_ij b_jk."""
    return np.asarray(np.einsum(equation, *operands))


def _terms(equation: str, operands: tuple[np.ndarray, ...]) -> tuple[list[str], str]:
    """The letters of operands and result, with capitals from Z down for an ellipsis."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts, most = [], ""
    for part, x in zip(left.split(","), operands, strict=True):
        hidden = "STUVWXYZ"[8 - (x.ndim - len(part.replace("...", ""))) :]
        most = max(most, hidden, key=len)
        parts.append(part.replace("...", hidden))
    if not arrow:
        text = left.replace("...", "").replace(",", "")
        right = "..." + "".join(sorted(c for c in set(text) if text.count(c) == 1))
    return parts, right.replace("...", most)


def einsum_backward(
    grad: np.ndarray, equation: str, *operands: np.ndarray
) -> tuple[np.ndarray | None, ...]:
    """The derivative by one operand is the product of the gradient with all others.

    A sum over all index values, one after the other: each adds its product to the places of the
    operands' gradients that its letters name. An axis of size 1 that is stretched has one place.
    """
    parts, right = _terms(equation, operands)
    sizes: dict[str, int] = {}
    for part, x in zip(parts, operands, strict=True):
        for c, n in zip(part, x.shape, strict=True):
            sizes[c] = n if sizes.get(c, 1) == 1 else sizes[c]
    by = [np.zeros(x.shape) for x in operands]
    letters = list(sizes)
    for values in np.ndindex(*sizes.values()):
        at = dict(zip(letters, values, strict=True))
        places = [
            tuple(at[c] if n > 1 else 0 for c, n in zip(part, x.shape, strict=True))
            for part, x in zip(parts, operands, strict=True)
        ]
        g: Any = grad[tuple(at[c] for c in right)]
        for k in range(len(operands)):
            others = [operands[j][places[j]] for j in range(len(operands)) if j != k]
            by[k][places[k]] += g * np.prod(others)
    return (None, *by)


def tensordot(a: np.ndarray, b: np.ndarray, dims: Any = 2) -> np.ndarray:
    """The sum of products over some axes of both."""
    return np.asarray(np.tensordot(a, b, dims))


def tensordot_backward(
    grad: np.ndarray, a: np.ndarray, b: np.ndarray, dims: Any = 2
) -> tuple[np.ndarray, np.ndarray]:
    """As matrices: dA = G B', dB = A' G."""
    left, right = (
        (list(range(a.ndim - dims, a.ndim)), list(range(dims)))
        if isinstance(dims, int)
        else ([d % a.ndim for d in dims[0]], [d % b.ndim for d in dims[1]])
    )
    a_order = [i for i in range(a.ndim) if i not in left] + left
    b_order = right + [i for i in range(b.ndim) if i not in right]
    pa, pb = a.transpose(a_order), b.transpose(b_order)
    inner = int(np.prod([a.shape[i] for i in left]))
    ma, mb = pa.reshape(-1, inner), pb.reshape(inner, -1)
    g = grad.reshape(ma.shape[0], mb.shape[1])
    by_a = (g @ mb.T).reshape(pa.shape).transpose(np.argsort(a_order))
    by_b = (ma.T @ g).reshape(pb.shape).transpose(np.argsort(b_order))
    return by_a, by_b


def outer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y_ij = a_i b_j."""
    return np.outer(a, b)


def outer_backward(grad: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dA = G b, dB = a G."""
    return grad @ b, a @ grad


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """sum_i a_i b_i."""
    return np.asarray(np.dot(a, b))


def dot_backward(grad: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each by the other."""
    return grad * b, grad * a


def inner(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Summed over the last axes of both."""
    return np.asarray(np.inner(a, b))


def inner_backward(grad: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `tensordot` of the last axes."""
    return tensordot_backward(grad, a, b, ([-1], [-1]))


def bmm(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """One product for each pair of matrices."""
    return a @ b


def bmm_backward(grad: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """dA = G B', dB = A' G."""
    return grad @ b.swapaxes(1, 2), a.swapaxes(1, 2) @ grad


def baddbmm(
    input: np.ndarray, a: np.ndarray, b: np.ndarray, *, beta: float = 1, alpha: float = 1
) -> np.ndarray:
    """beta input + alpha a b."""
    return beta * input + alpha * (a @ b)


def baddbmm_backward(
    grad: np.ndarray, input: np.ndarray, a: np.ndarray, b: np.ndarray, *, beta: float = 1,
    alpha: float = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """The sum over what the input was broadcast along, and the product's gradients."""
    by_a, by_b = bmm_backward(alpha * grad, a, b)
    extra = grad.ndim - input.ndim
    by_input = beta * grad.sum(tuple(range(extra)))
    axes = tuple(i for i in range(input.ndim) if input.shape[i] != by_input.shape[i])
    return by_input.sum(axes, keepdims=True) if axes else by_input, by_a, by_b

"""Sums of products over named axes, and the products that have names of their own.

einsum is planned by ourselves and computed by matmul: repeated letters of an operand become its
diagonal, letters that only it has are summed out, and pairs of operands are contracted as one
batched matrix product each. The gradient is the composition's.

Source: Einstein, "Die Grundlage der allgemeinen Relativitaetstheorie", Annalen der Physik 354
(1916), section 5, for the convention; Lam, Sadayappan and Wenger, "On optimizing a class of
multi-dimensional loops with reductions for parallel execution", Parallel Processing Letters 7
(1997), for contraction in pairs.

Raises:
    ValueError: shapes that do not fit each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import prod
from typing import Any, NamedTuple

from ranvier import _core
from ranvier.ops._arguments import axis_of, sizes
from ranvier.tensor import Tensor, attach


class _Term(NamedTuple):
    """A tensor and the letter of each of its axes."""

    tensor: Tensor
    letters: str


def _check(op: str, *tensors: Any) -> None:
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"[{op}] expected tensors, got {type(t).__name__} - wrap it")


# ---- Reading the equation ----

_ELLIPSIS = "0123456789"  # stand-ins for the axes behind "...", counted from the last one


def _spell(part: str, ndim: int | None, equation: str) -> str:
    """The letters of one operand, with one digit for each axis behind the ellipsis."""
    head, dots, tail = part.partition("...")
    named = head + tail
    if not all(c.isascii() and c.isalpha() for c in named):
        raise ValueError(f"[einsum] expected letters, commas, '...' and '->', got {equation!r}")
    if ndim is None:
        return part
    hidden = ndim - len(named)
    if hidden < 0 or (hidden > 0 and not dots):
        raise ValueError(
            f"[einsum] expected an operand of {len(named)} axes for {part!r}, got {ndim}"
            + ("" if dots else " - write '...' for axes without a letter")
        )
    return head + _ELLIPSIS[:hidden][::-1] + tail


def _parse(equation: str, operands: Sequence[Tensor]) -> tuple[list[str], str]:
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(operands):
        raise ValueError(
            f"[einsum] expected {len(parts)} operands for {equation!r}, got {len(operands)}"
        )
    inputs = [_spell(p, t.ndim, equation) for p, t in zip(parts, operands, strict=True)]
    together = "".join(inputs)
    hidden = "".join(sorted({c for c in together if c.isdigit()}, reverse=True))
    if arrow:
        _spell(right, None, equation)
        output = right.replace("...", hidden)
        for c in output:
            if output.count(c) > 1 or c not in together:
                raise ValueError(
                    f"[einsum] expected each letter of the result once, and in an operand, got "
                    f"{c!r} in {equation!r}"
                )
    else:  # the letters that occur once, in alphabetical order
        output = hidden + "".join(
            sorted(c for c in set(together) if c.isalpha() and together.count(c) == 1)
        )
    return inputs, output


def _sizes(equation: str, inputs: Sequence[str], operands: Sequence[Tensor]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for letters, t in zip(inputs, operands, strict=True):
        for c, size in zip(letters, t.shape, strict=True):
            have = sizes.get(c, 1)
            if size != have and 1 not in (size, have):
                raise ValueError(
                    f"[einsum] expected one size for each letter of {equation!r}, got {have} and "
                    f"{size} for {'an axis of the ellipsis' if c.isdigit() else repr(c)}"
                )
            sizes[c] = size if have == 1 else have
    return sizes


# ---- One operand ----


def _with_diagonals(term: _Term, sizes: dict[str, int]) -> _Term:
    """Each letter once: the diagonal of axes that share one, and no axis that is only stretched."""
    t, letters = term
    for c in set(letters):
        while letters.count(c) > 1:
            a = letters.index(c)
            b = letters.index(c, a + 1)
            if t.shape[a] != t.shape[b]:
                raise ValueError(
                    f"[einsum] expected equal sizes for the repeated letter {c!r}, got shape "
                    f"{t.shape}"
                )
            t = t.diagonal(0, a, b)
            letters = letters[:a] + letters[a + 1 : b] + letters[b + 1 :] + c
    for c in letters:
        if t.shape[letters.index(c)] == 1 and sizes[c] > 1:
            t = t.squeeze(letters.index(c))
            letters = letters.replace(c, "")
    return _Term(t, letters)


def _summed(term: _Term, keep: set[str]) -> _Term:
    """Without the letters that nobody else wants."""
    gone = tuple(i for i, c in enumerate(term.letters) if c not in keep)
    if not gone:
        return term
    total = term.tensor.sum(gone)
    if total.dtype != term.tensor.dtype:  # sums of small integers are int64
        total = total.to(term.tensor.dtype)
    return _Term(total, "".join(c for c in term.letters if c in keep))


def _ordered(term: _Term, letters: str) -> Tensor:
    axes = tuple(term.letters.index(c) for c in letters)
    return term.tensor if axes == tuple(range(len(axes))) else term.tensor.permute(axes)


# ---- Two operands ----


def _contracted(a: _Term, b: _Term, keep: set[str], sizes: dict[str, int]) -> _Term:
    """The product of two terms, summed over the letters of both that nobody else wants."""
    shared = [c for c in a.letters if c in b.letters]
    batch = "".join(c for c in shared if c in keep)
    inner = "".join(c for c in shared if c not in keep)
    rows = "".join(c for c in a.letters if c not in shared)
    columns = "".join(c for c in b.letters if c not in shared)
    lead, down, across = ([sizes[c] for c in s] for s in (batch, rows, columns))
    x, y = _ordered(a, batch + rows + inner), _ordered(b, batch + inner + columns)
    if inner:
        summed = prod(sizes[c] for c in inner)
        z = x.reshape(*lead, prod(down), summed).matmul(y.reshape(*lead, summed, prod(across)))
        z = z.reshape(*lead, *down, *across)
    else:
        z = x.reshape(*lead, *down, *[1] * len(across)) * y.reshape(
            *lead, *[1] * len(down), *across
        )
    return _Term(z, batch + rows + columns)


def _cost(a: str, b: str, sizes: dict[str, int]) -> int:
    return prod(sizes[c] for c in set(a) | set(b))


def einsum(equation: str, *operands: Any) -> Tensor:
    """A sum of products over named axes: each letter names an axis of the operands.

    "ij,jk->ik" is y_ik = sum_j a_ij b_jk: letters that are not in the result are summed over. A
    letter twice in one operand takes its diagonal; "..." stands for any axes, which broadcast;
    without "->" the result has the letters that occur once, in alphabetical order.

    Args:
        equation: letters of each operand, separated by commas, then "->" and those of the result.
        *operands: tensors, or one sequence of them.

    Returns:
        The tensor of the letters on the right. Pairs are contracted where that is cheapest first,
        and each as one batched matrix product.

    Raises:
        ValueError: an equation that cannot be read, or that does not fit the shapes.
        TypeError: a dtype that has no product.

    Example:
        >>> import ranvier as rv
        >>> a = rv.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> rv.functional.einsum("ij,j->i", a, rv.tensor([1.0, 1.0])).tolist()
        [3.0, 7.0]
        >>> rv.functional.einsum("ii", a).item()
        5.0
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not isinstance(equation, str):
        raise TypeError(
            f"[einsum] expected an equation first, got {type(equation).__name__} - write "
            "einsum('ij,jk->ik', a, b)"
        )
    _check("einsum", *operands)
    inputs, output = _parse(equation, operands)
    sizes = _sizes(equation, inputs, operands)
    terms = [_with_diagonals(_Term(*pair), sizes) for pair in zip(operands, inputs, strict=True)]

    def wanted(*without: _Term) -> set[str]:
        """Letters of the result and of all other terms."""
        others = [t.letters for t in terms if not any(t is w for w in without)]
        return set("".join([output, *others]))

    terms = [_summed(t, wanted(t)) for t in terms]
    while len(terms) > 1:
        a, b = min(
            combinations(terms, 2), key=lambda pair: _cost(pair[0].letters, pair[1].letters, sizes)
        )
        y = _contracted(a, b, wanted(a, b), sizes)
        terms = [t for t in terms if t is not a and t is not b] + [y]
        terms = [_summed(t, wanted(t)) for t in terms]
    return _ordered(terms[0], output)


# ---- Products with names ----


def tensordot(a: Tensor, b: Tensor, dims: int | Sequence[Sequence[int]] = 2) -> Tensor:
    """The sum of products over some axes of both: the other axes of a, then those of b.

    Args:
        a: any shape.
        b: any shape.
        dims: how many of a's last axes meet b's first ones, or a pair of lists of axes.

    Raises:
        ValueError: lists of different lengths, or axes of different sizes.
    """
    _check("tensordot", a, b)
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise ValueError(
                f"[{_core.op_name()}] expected dims from 0 to {min(a.ndim, b.ndim)}, got {dims}"
            )
        left = list(range(a.ndim - dims, a.ndim))
        right = list(range(dims))
    else:
        if not isinstance(dims, tuple | list) or len(dims) != 2:
            raise TypeError(
                f"[{_core.op_name()}] expected dims as a number or a pair of lists, got {dims!r}"
            )
        left = [axis_of(d, a.ndim) for d in sizes("dims", dims[0])]
        right = [axis_of(d, b.ndim) for d in sizes("dims", dims[1])]
    if len(left) != len(right) or len({*left}) != len(left) or len({*right}) != len(right):
        raise ValueError(
            f"[{_core.op_name()}] expected as many axes of a as of b, each once, got {dims}"
        )
    if [a.shape[i] for i in left] != [b.shape[i] for i in right]:
        raise ValueError(
            f"[{_core.op_name()}] expected equal sizes along the axes {left} and {right}, got "
            f"shapes {a.shape} and {b.shape}"
        )
    names = [chr(ord("A") + i) for i in range(a.ndim)]
    others = [chr(ord("a") + i) for i in range(b.ndim)]
    for i, j in zip(left, right, strict=True):
        others[j] = names[i]
    kept = [c for i, c in enumerate(names) if i not in left]
    kept += [c for j, c in enumerate(others) if j not in right]
    return einsum(f"{''.join(names)},{''.join(others)}->{''.join(kept)}", a, b)


@attach("outer")
def outer(a: Tensor, b: Tensor) -> Tensor:
    """The outer product of two vectors: y_ij = a_i b_j.

    Raises:
        ValueError: an operand that is not a vector.
    """
    _vectors("outer", a, b)
    return a.unsqueeze(1) * b


def _vectors(op: str, a: Any, b: Any) -> None:
    _check(op, a, b)
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"[{op}] expected two vectors, got shapes {a.shape} and {b.shape}")


@attach("dot")
def dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of two vectors: sum_i a_i b_i.

    Raises:
        ValueError: an operand that is not a vector, or vectors of different lengths.
    """
    _vectors("dot", a, b)
    return a.matmul(b)


@attach("inner")
def inner(a: Tensor, b: Tensor) -> Tensor:
    """Products summed over the last axes: y[i..., j...] = sum_k a[i..., k] b[j..., k].

    Scalars multiply. Raises ValueError where the last axes differ.
    """
    _check("inner", a, b)
    if not a.ndim or not b.ndim:
        return a * b
    return tensordot(a, b, ([-1], [-1]))


@attach("mv")
def mv(a: Tensor, b: Tensor) -> Tensor:
    """A matrix (M, K) times a vector (K,). Raises ValueError for other shapes."""
    return _product("mv", a, b, 2, 1)


@attach("mm")
def mm(a: Tensor, b: Tensor) -> Tensor:
    """A matrix (M, K) times a matrix (K, N). Raises ValueError for other shapes."""
    return _product("mm", a, b, 2, 2)


@attach("bmm")
def bmm(a: Tensor, b: Tensor) -> Tensor:
    """Pairs of matrices: (N, M, K) times (N, K, L) gives (N, M, L); nothing broadcasts.

    Raises:
        ValueError: other shapes, or batches of different sizes.
    """
    return _product("bmm", a, b, 3, 3)


def _product(op: str, a: Tensor, b: Tensor, a_axes: int, b_axes: int) -> Tensor:
    _check(op, a, b)
    if a.ndim != a_axes or b.ndim != b_axes or (op == "bmm" and a.shape[0] != b.shape[0]):
        same = " and as many pairs" if op == "bmm" else ""
        raise ValueError(
            f"[{op}] expected {a_axes} and {b_axes} axes{same}, got shapes {a.shape} and "
            f"{b.shape} - matmul takes any"
        )
    return a.matmul(b)


def addmm(input: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta input + alpha a b, with a (M, K), b (K, N) and an input that broadcasts to (M, N)."""
    return _added(input, _product("addmm", a, b, 2, 2), beta, alpha)


def baddbmm(input: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta input + alpha a b for each pair of a batch; see `bmm`."""
    return _added(input, _product("baddbmm", a, b, 3, 3), beta, alpha)


def _added(input: Tensor, y: Tensor, beta: float, alpha: float) -> Tensor:
    y = y if alpha == 1 else y * alpha
    if beta == 0:  # then what the input holds, NaN too, is of no importance
        return y
    return y + (input if beta == 1 else input * beta)

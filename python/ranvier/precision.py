"""How exact the products of matrices and convolutions must be."""

from __future__ import annotations

from ranvier import _core

_NAMES = ("exact", "highest", "high", "medium")  # in the order of csrc/core/precision.h


def set_matmul_precision(precision: str) -> None:
    """Chooses which algorithms products and convolutions may use, in the whole process.

    * ``"exact"``: every result is a plain sum of products, rounded once a term.
    * ``"highest"``, the default: also algorithms whose error stays in the class of the dtype. On
      the CPU that is Winograd's F(4x4, 3x3) for float32 convolutions of 3x3 filters at stride 1: up
      to three times as fast, with an error of about 1e-6 of the output's norm against 4e-7 for
      plain sums. It works on tiles, so an infinite or NaN pixel makes up to 4x4 outputs NaN that
      its own windows do not reach. Captured steps may add gradients in another order (rule
      `embedding_lstm`); under "exact" they have the bits of the eager step.
    * ``"high"`` and ``"medium"``: on a GPU the factors of float32 products are rounded to
      TensorFloat-32 (10 bits) or bfloat16 (7 bits) and multiplied by tensor cores; sums stay
      float32. A product of n terms is then within 2u + n eps of the sum of their absolute values,
      u = 2^-11 or 2^-8. The CPU takes them for ``"highest"``. `autocast` goes further: it also
      stores activations in half the memory.

    Any thread may call it; calls of ops that start later see it. A captured step is recorded again
    under the new setting.

    Args:
        precision: "exact", "highest", "high" or "medium".

    Raises:
        ValueError: another word.

    Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016); points after
    Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution" (2018).

    Example:
        >>> import ranvier as rv
        >>> rv.set_matmul_precision("exact")
        >>> rv.get_matmul_precision()
        'exact'
        >>> rv.set_matmul_precision("highest")
    """
    if precision not in _NAMES:
        raise ValueError(
            f"[set_matmul_precision] expected one of {', '.join(map(repr, _NAMES))}, "
            f"got {precision!r} - 'highest' is the default"
        )
    _core.set_matmul_precision(_NAMES.index(precision))


def get_matmul_precision() -> str:
    """The setting of `set_matmul_precision`: "exact", "highest", "high" or "medium"."""
    return _NAMES[_core.matmul_precision()]

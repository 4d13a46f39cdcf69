"""LSTM over a whole sequence, in all variants.

Source: Hochreiter and Schmidhuber, Long short-term memory (1997); Gers, Schmidhuber and Cummins,
Learning to forget (2000); Gers and Schmidhuber, Recurrent nets that time and count (2000), for
peepholes; Sak, Senior and Beaufays, Long short-term memory based recurrent neural network
architectures (2014), for the projection; Ba, Kiros and Hinton, Layer normalization (2016).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._recurrent import Walk, or_zero, sigmoid

GATES = {"basic": "g", "original": "igo", "full": "ifgo"}

Optional = np.ndarray | None


@dataclass
class _Step:
    """What one step leaves for its backward."""

    c_before: np.ndarray
    h_before: np.ndarray
    gate: dict[str, np.ndarray] = field(default_factory=dict)
    c: np.ndarray = field(default_factory=lambda: np.empty(0))
    squashed: np.ndarray = field(default_factory=lambda: np.empty(0))
    hidden: np.ndarray = field(default_factory=lambda: np.empty(0))
    norm: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


def _normalize(a: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of mean 0 and variance 1, and the factor that made them so."""
    factor = 1.0 / np.sqrt(a.var(axis=-1, keepdims=True) + eps)
    return (a - a.mean(axis=-1, keepdims=True)) * factor, factor


def _normalize_backward(grad: np.ndarray, normal: np.ndarray, factor: np.ndarray) -> np.ndarray:
    along = (grad * normal).mean(axis=-1, keepdims=True)
    return (grad - grad.mean(axis=-1, keepdims=True) - normal * along) * factor


def _run(
    x: np.ndarray, h0: Optional, c0: Optional, weight_ih: np.ndarray, weight_hh: np.ndarray,
    bias_ih: Optional, bias_hh: Optional, weight_hr: Optional, peephole: Optional,
    norm: tuple[np.ndarray, ...] | None, lengths: Optional, variant: str, reverse: bool, eps: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[int, _Step]]:  # fmt: skip
    letters = GATES[variant]
    units, rows = weight_ih.shape[0] // len(letters), x.shape[1]
    h = or_zero(h0, x, rows, weight_hh.shape[1])
    c = or_zero(c0, x, rows, units)
    bias = or_zero(bias_ih, x, len(letters) * units) + or_zero(bias_hh, x, len(letters) * units)
    peep = dict(zip(letters.replace("g", ""), () if peephole is None else peephole, strict=False))
    y = np.zeros((*x.shape[:2], h.shape[1]), x.dtype)
    steps = {}
    for t, active in Walk(x, lengths, reverse):
        step = _Step(c, h)
        by_x, by_h = x[t] @ weight_ih.T, h @ weight_hh.T
        if norm is not None:
            step.norm["x"], step.norm["h"] = _normalize(by_x, eps), _normalize(by_h, eps)
            by_x, by_h = step.norm["x"][0] * norm[0], step.norm["h"][0] * norm[1]
        a = dict(zip(letters, np.split(by_x + by_h + bias, len(letters), axis=1), strict=True))
        gate = step.gate
        gate["i"] = sigmoid(a["i"] + peep.get("i", 0.0) * c) if "i" in a else np.ones_like(c)
        gate["f"] = sigmoid(a["f"] + peep.get("f", 0.0) * c) if "f" in a else np.ones_like(c)
        gate["g"] = np.tanh(a["g"])
        step.c = gate["f"] * c + gate["i"] * gate["g"]
        gate["o"] = sigmoid(a["o"] + peep.get("o", 0.0) * step.c) if "o" in a else np.ones_like(c)
        inner = step.c
        if norm is not None:
            step.norm["c"] = _normalize(inner, eps)
            inner = step.norm["c"][0] * norm[2] + norm[3]
        step.squashed = np.tanh(inner)
        step.hidden = gate["o"] * step.squashed
        new = step.hidden if weight_hr is None else step.hidden @ weight_hr.T
        y[t] = np.where(active, new, 0.0)
        h, c = np.where(active, new, h), np.where(active, step.c, c)
        steps[t] = step
    return y, h, c, steps


def lstm(
    x: np.ndarray, h0: Optional, c0: Optional, weight_ih: np.ndarray, weight_hh: np.ndarray,
    bias_ih: Optional = None, bias_hh: Optional = None, weight_hr: Optional = None,
    peephole: Optional = None, norm: tuple[np.ndarray, ...] | None = None,
    lengths: Optional = None, variant: str = "full", reverse: bool = False, eps: float = 1e-5,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """``c_t = f c_(t-1) + i g`` and ``h_t = o tanh(c_t)``.

    i, f and o are sigmoids, g the tanh of ``W_ih x_t + b_ih + W_hh h_(t-1) + b_hh``, gate by gate
    in the order i, f, g, o. The original variant has f = 1, the basic one i = f = o = 1.

    Args:
        x: (T, N, I).
        h0: (N, R), or None for zeros; R = H unless projected.
        c0: (N, H), or None for zeros.
        weight_ih: (G H, I), with G = 4, 3 (original) or 1 (basic).
        weight_hh: (G H, R).
        bias_ih: (G H,) or None.
        bias_hh: (G H,) or None.
        weight_hr: (R, H): ``h_t = W_hr (o tanh(c_t))``; or None.
        peephole: (3, H) or None: ``p_i c_(t-1)``, ``p_f c_(t-1)`` and ``p_o c_t`` join the gates'
            arguments; (2, H), without p_f, for the original variant.
        norm: None, or gains of W_ih x and W_hh h (G H,), gain and bias of c (H,): each of the three
            is normalized to mean 0 and variance 1 over its features, c only inside the tanh.
        lengths: (N,), steps of each sample, or None for T.
        variant: "full", "original" or "basic".
        reverse: from each sample's last step to its first.
        eps: added to the variances.

    Returns:
        Outputs (T, N, R), zero past a sample's end, and the states (N, R) and (N, H) after its last
        step.
    """
    y, h, c, _ = _run(
        x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, norm, lengths,
        variant, reverse, eps,
    )  # fmt: skip
    return y, h, c


def lstm_backward(
    grads: tuple[np.ndarray, ...],
    x: np.ndarray, h0: Optional, c0: Optional, weight_ih: np.ndarray, weight_hh: np.ndarray,
    bias_ih: Optional = None, bias_hh: Optional = None, weight_hr: Optional = None,
    peephole: Optional = None, norm: tuple[np.ndarray, ...] | None = None,
    lengths: Optional = None, variant: str = "full", reverse: bool = False, eps: float = 1e-5,
) -> tuple[Any, ...]:  # fmt: skip
    """Backpropagation through time: ``dL/dc_(t-1) = f dL/dc_t`` along the cell.

    Takes the gradients of y and of the last two states, and the arguments of the forward.

    Returns:
        Gradients of x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole and
        norm (a tuple of four); empty for weight_hr, peephole and norm that were None.
    """
    letters = GATES[variant]
    _, _, _, steps = _run(
        x, h0, c0, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, norm, lengths,
        variant, reverse, eps,
    )  # fmt: skip
    dy, dh, dc = grads
    see = letters.replace("g", "")  # the gates that have a peephole
    dx, dw_ih, dw_hh = np.zeros_like(x), np.zeros_like(weight_ih), np.zeros_like(weight_hh)
    db = np.zeros(weight_ih.shape[0])
    dw_hr = np.zeros_like(weight_hr) if weight_hr is not None else np.zeros((0, 0))
    dp = np.zeros_like(peephole) if peephole is not None else np.zeros((0, 0))
    dnorm = tuple(np.zeros_like(n) for n in norm or ())
    for t, active in Walk(x, lengths, reverse).back():
        s, gate = steps[t], steps[t].gate
        total = np.where(active, dh + dy[t], 0.0)
        dhidden = total
        if weight_hr is not None:
            dw_hr += total.T @ s.hidden
            dhidden = total @ weight_hr
        da = {"o": dhidden * s.squashed * gate["o"] * (1.0 - gate["o"])}
        dinner = dhidden * gate["o"] * (1.0 - s.squashed**2)
        if norm is not None:
            dnorm[2][:] += (dinner * s.norm["c"][0]).sum(axis=0)
            dnorm[3][:] += dinner.sum(axis=0)
            dinner = _normalize_backward(dinner * norm[2], *s.norm["c"])
        dct = np.where(active, dc, 0.0) + dinner
        if peephole is not None:
            dct = dct + da["o"] * peephole[-1]
            dp[-1] += (da["o"] * s.c).sum(axis=0)
        da["f"] = dct * s.c_before * gate["f"] * (1.0 - gate["f"])
        da["i"] = dct * gate["g"] * gate["i"] * (1.0 - gate["i"])
        da["g"] = dct * gate["i"] * (1.0 - gate["g"] ** 2)
        dc_before = dct * gate["f"]
        if peephole is not None:
            for letter, row in zip(see[:-1], range(len(see) - 1), strict=True):
                dc_before = dc_before + da[letter] * peephole[row]
                dp[row] += (da[letter] * s.c_before).sum(axis=0)
        d = np.concatenate([da[letter] for letter in letters], axis=1)
        db += d.sum(axis=0)
        by_x = by_h = d
        if norm is not None:
            dnorm[0][:] += (d * s.norm["x"][0]).sum(axis=0)
            dnorm[1][:] += (d * s.norm["h"][0]).sum(axis=0)
            by_x = _normalize_backward(d * norm[0], *s.norm["x"])
            by_h = _normalize_backward(d * norm[1], *s.norm["h"])
        dx[t] = by_x @ weight_ih
        dw_ih += by_x.T @ x[t]
        dw_hh += by_h.T @ s.h_before
        dh = np.where(active, by_h @ weight_hh, dh)
        dc = np.where(active, dc_before, dc)
    return dx, dh, dc, dw_ih, dw_hh, db, db, dw_hr, dp, dnorm

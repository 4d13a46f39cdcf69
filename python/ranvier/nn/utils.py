"""Helpers around parameters: gradient clipping, and all parameters as one vector."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ranvier import _core, guards
from ranvier import functional as F
from ranvier.autograd import no_grad
from ranvier.tensor import Tensor, clock


def _list(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    found = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if guards.watches:  # a captured step reads their gradients
        for p in found:
            guards.touch(p)
    return found


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Shortens all gradients together, in place, so that their norm is at most `max_norm`.

    With the norm n of all gradients as one vector, each is multiplied by
    min(1, max_norm / (n + 1e-6)). The direction of the step stays. Nothing is read on the host, so
    a captured step may do it; the order of the sums is fixed.

    Args:
        parameters: those whose `.grad` is to be clipped; parameters without one are passed over.
        max_norm: the largest norm.
        norm_type: which norm, as in `functional.norm`.
        error_if_nonfinite: raise if the norm is infinite or NaN; reads it on the host.

    Returns:
        The norm before clipping.

    Raises:
        ValueError: max_norm is negative, or the norm is not finite and an error was asked for.

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks",
    ICML (2013), algorithm 1.

    Example:
        >>> import ranvier as rv
        >>> w = rv.zeros(2, requires_grad=True)
        >>> (w * rv.tensor([3.0, 4.0])).sum().backward()
        >>> rv.nn.utils.clip_grad_norm_([w], 1.0).item()
        5.0
        >>> [round(v, 4) for v in w.grad.tolist()]
        [0.6, 0.8]
    """
    if not max_norm >= 0:
        raise ValueError(f"[clip_grad_norm_] expected max_norm from 0 up, got {max_norm}")
    grads = [p.grad for p in _list(parameters) if p.grad is not None]
    with no_grad():
        if not grads:
            from ranvier.creation import zeros

            return zeros(())
        total = F.norm(F.stack([F.norm(g, norm_type) for g in grads]), norm_type)
        if error_if_nonfinite and not F.isfinite(total).item():
            raise ValueError(
                f"[clip_grad_norm_] expected gradients of finite norm, got {total.item()} - look "
                "for its source with rv.detect_anomaly()"
            )
        share = (float(max_norm) / (total + 1e-6)).clip(None, 1.0)
        for g in grads:
            _core.multiply_into(g.data, share.data.cast(g.data.dtype))
            clock.changed(g.data)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Brings each element of each gradient into [-clip_value, clip_value], in place.

    Args:
        parameters: those whose `.grad` is to be clipped.
        clip_value: the bound.

    Raises:
        ValueError: clip_value is negative.
    """
    if not clip_value >= 0:
        raise ValueError(f"[clip_grad_value_] expected a bound from 0 up, got {clip_value}")
    for p in _list(parameters):
        if p.grad is not None:
            g = p.grad.data
            _core.copy_into(g, _core.clip(g, -float(clip_value), float(clip_value)))
            clock.changed(g)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, one after the other in row-major order, as one vector.

    Raises:
        ValueError: no parameters.
    """
    return F.concat([p.flatten() for p in parameters])


def vector_to_parameters(vector: Tensor, parameters: Iterable[Tensor]) -> None:
    """Writes the parts of a vector, as `parameters_to_vector` made it, into the parameters.

    Raises:
        ValueError: the vector has not as many elements as the parameters.
    """
    targets = list(parameters)
    size = sum(p.size for p in targets)
    if vector.shape != (size,):
        raise ValueError(
            f"[vector_to_parameters] expected a vector of {size} elements, got shape {vector.shape}"
        )
    at = 0
    with no_grad():
        for p in targets:
            p.copy_(vector[at : at + p.size].reshape(p.shape))
            at += p.size


if not TYPE_CHECKING:  # mypy shall go on refusing names that are not there

    def __getattr__(name: str) -> Any:
        from ranvier.cures import missing

        raise missing(__name__, name)

"""JAX beside us: a compiled function of the row's arrays, waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def compiled(
    make: Callable[[Any], Callable[..., Any]], *names: str, gradients: bool = False
) -> Callable[[dict[str, Any]], Any]:
    """A peer: `make(jax)` gives a function of the arrays of these names.

    With `gradients`, a step gives the gradients of all of them; the upstream one is `seed`.
    """

    def build(d: dict[str, Any]) -> Any:
        import jax

        function = make(jax)
        inputs = [jax.numpy.asarray(d[name]) for name in names]
        if not gradients:
            call = jax.jit(function)
            return lambda: jax.block_until_ready(call(*inputs))
        seed = jax.numpy.asarray(d["seed"])

        def both(seed: Any, *values: Any) -> Any:
            return jax.vjp(function, *values)[1](seed)

        call = jax.jit(both)
        return lambda: list(jax.block_until_ready(call(seed, *inputs)))

    return build

"""ONNX models on ranvier tensors: a backend in the sense of ``onnx.backend.base``.

    import ranvier.io.onnx as backend
    (y,) = backend.run_model(onnx.load("model.onnx"), [x])

It runs the nodes of a graph one after the other by the ops of `ranvier.functional`, and is the way
to hold these ops against the node tests that come with ONNX (``docs/onnx-node-tests.md``). One
function stands for each kind of node, in `ranvier.io.onnx.nodes`; what has none raises
`Unsupported`. Only using it needs the package ``onnx`` (``pip install 'ranvier[onnx]'``).

Source: ONNX operator specification, https://onnx.ai/onnx/operators/.
"""

from typing import Any

__all__ = [
    "Model",
    "RanvierBackend",
    "Unsupported",
    "prepare",
    "run_model",
    "run_node",
    "supports_device",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'ranvier.io.onnx' has no attribute {name!r}")
    try:
        from ranvier.io.onnx import backend
    except ModuleNotFoundError as missing:
        if missing.name not in ("onnx", "ml_dtypes"):
            raise
        raise ModuleNotFoundError(
            f"[onnx] expected the package {missing.name}, which is not installed - "
            "pip install 'ranvier[onnx]'",
            name=missing.name,
        ) from None
    value = getattr(backend if hasattr(backend, name) else backend.RanvierBackend, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

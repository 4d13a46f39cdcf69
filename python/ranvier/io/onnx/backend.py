"""The door that ONNX knows: prepare, run_model, run_node, supports_device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, inliner
from onnx.backend.base import Backend, BackendRep
from onnx.defs import onnx_opset_version

from ranvier.autograd import no_grad
from ranvier.io.onnx import nodes  # noqa: F401  (registers what runs each node)
from ranvier.io.onnx.graph import Graph, Step, Unsupported, Value, from_host, to_host

__all__ = ["Model", "RanvierBackend", "Unsupported"]


# Nodes that ONNX defines by simpler ones, and that run as their definition.
DEFINED = [
    ("", "AffineGrid"),
    ("", "Attention"),
    ("", "CausalConvWithState"),
    ("", "LinearAttention"),
    ("", "RotaryEmbedding"),
    ("ai.onnx.preview", "FlexAttention"),
]


def _inlined(model: ModelProto) -> ModelProto:
    """The model with its own functions, and the nodes of `DEFINED`, written out."""
    if model.functions:
        model = inliner.inline_local_functions(model)
    if any((n.domain, n.op_type) in DEFINED for n in model.graph.node):
        try:
            return inliner.inline_selected_functions(model, DEFINED, inline_schema_functions=True)
        except RuntimeError:  # it cannot where a node leaves inputs out; then the node has no op
            return model
    return model


class Model(BackendRep):
    """A model whose nodes all have an op.

    Args:
        model: the protobuf message, with its weights.

    Raises:
        Unsupported: a node that has none, named.
    """

    def __init__(self, model: ModelProto) -> None:
        model = _inlined(model)
        self.opsets = {o.domain: o.version for o in model.opset_import}
        self.graph = Graph(model.graph, self.opsets)

    def run(self, inputs: Any, **_: Any) -> tuple[Any, ...]:
        """The outputs, as NumPy arrays, from the inputs in the graph's order.

        Args:
            inputs: arrays, lists of arrays for sequences, None for absent optional values; or a
                dictionary of them by name.

        Raises:
            Unsupported: a value or an option that no op takes.
            ValueError: other inputs than the graph has.
        """
        names = [name for name in self.graph.inputs if name not in self.graph.constants]
        if isinstance(inputs, dict):
            given = inputs
        else:
            every = len(inputs) > len(names)  # weights too, in place of the model's own
            given = dict(zip(self.graph.inputs if every else names, inputs, strict=False))
        if set(names) - set(given) or len(inputs) > len(self.graph.inputs):
            raise ValueError(
                f"[onnx] expected inputs {', '.join(names)}, got "
                f"{', '.join(inputs) if isinstance(inputs, dict) else len(inputs)}"
            )
        with no_grad():
            values = {name: from_host(value) for name, value in given.items()}
            return tuple([to_host(v) for v in self.graph.run(values)])


class RanvierBackend(Backend):
    """ONNX's interface to whatever runs its models."""

    @classmethod
    def is_compatible(cls, model: ModelProto, device: str = "CPU", **_: Any) -> bool:
        """Whether every node of the model has an op."""
        try:
            cls.prepare(model, device)
        except Unsupported:
            return False
        return True

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **_: Any) -> Model:
        """The model, ready to run; see `Model`."""
        cls._check_device(device)
        return Model(model)

    @classmethod
    def run_model(
        cls, model: ModelProto, inputs: Any, device: str = "CPU", **_: Any
    ) -> tuple[Any, ...]:
        """The outputs of a model; see `Model.run`."""
        return cls.prepare(model, device).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: NodeProto,
        inputs: Sequence[Any],
        device: str = "CPU",
        outputs_info: Any = None,
        **options: Any,
    ) -> tuple[np.ndarray, ...]:
        """The outputs of one node, from the inputs that it names, in their order.

        Args:
            node: the node.
            inputs: arrays, one for each input with a name.
            device: "CPU".
            outputs_info: not needed.
            **options: ``opset_version``, the newest one by default.
        """
        cls._check_device(device)
        version = int(options.get("opset_version", onnx_opset_version()))
        step = Step(node, {"": version, node.domain: version})
        names = [name for name in node.input if name]
        with no_grad():
            scope: dict[str, Value] = {
                name: from_host(value) for name, value in zip(names, inputs, strict=True)
            }
            step.run(scope)
            return tuple([to_host(scope[name]) for name in node.output if name])

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether models can run there: on "CPU"."""
        return device.partition(":")[0] == "CPU"

    @classmethod
    def _check_device(cls, device: str) -> None:
        if not cls.supports_device(device):
            raise TypeError(f"[onnx] expected device CPU, got {device!r}")

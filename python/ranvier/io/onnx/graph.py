"""Graphs of ONNX nodes as steps over named values, and the register of what runs a node.

A node's function takes its inputs in order (None where one is absent) and its attributes by name,
with ONNX's defaults in the signature; an attribute that the signature lacks is refused. Three names
are not attributes: `opset`, the version of the operator set; `outputs`, how many outputs somebody
reads; and `scope`, the values that a subgraph sees.
"""

from __future__ import annotations

import inspect
from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, TypeVar

import ml_dtypes
import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper, numpy_helper

from ranvier.dtypes import DType, as_dtype, bfloat16, float16, float32
from ranvier.tensor import Tensor, tensor

Value = Any  # a Tensor, a list of them (a sequence), or None (an optional value that is absent)
Scope = MutableMapping[str, Value]
F = TypeVar("F", bound=Callable[..., Any])

_HALVES = (float16, bfloat16)
_OWN = ("opset", "outputs", "scope")


class Unsupported(NotImplementedError):
    """A node, a type or an option that ranvier has no op for."""


# ---- Functions of nodes ----

NODES: dict[tuple[str, str], tuple[Callable[..., Any], bool]] = {}


def node(*names: str, domain: str = "", halves: bool = False) -> Callable[[F], F]:
    """Registers what runs nodes of these types.

    Args:
        *names: their types.
        domain: the operator set that they are of.
        halves: whether it takes float16 and bfloat16; else it is given float32, and what ONNX says
            is of its inputs' type is rounded back.
    """

    def decorate(function: F) -> F:
        for name in names:
            NODES[domain, name] = (function, halves)
        return function

    return decorate


class Step:
    """One node: where its values come from, what computes, where they go.

    Args:
        proto: the node.
        opsets: version of each operator set, by domain.

    Raises:
        Unsupported: no op runs such a node, or not with its attributes.
    """

    def __init__(self, proto: NodeProto, opsets: Mapping[str, int]) -> None:
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        self.name = f"{domain}.{proto.op_type}".lstrip(".")
        if (domain, proto.op_type) not in NODES:
            raise Unsupported(f"no op for {self.name}")
        self.function, self.halves = NODES[domain, proto.op_type]
        self.inputs = list(proto.input)
        self.outputs = list(proto.output)
        self.options = {a.name: attribute(a, opsets) for a in proto.attribute}
        parameters = inspect.signature(self.function).parameters.values()
        known = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
        places = len(parameters) - len(known)
        if len(self.inputs) > places and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
            raise Unsupported(f"{self.name} with {len(self.inputs)} inputs")
        version = opsets.get(domain, opsets.get("ai.onnx", 1))
        for name in self.options:
            if name not in known or name in _OWN:
                raise Unsupported(f"{self.name} with attribute {name}")
        if "opset" in known:
            self.options["opset"] = version
        if "outputs" in known:
            self.options["outputs"] = len(self.outputs)
        self.scoped = "scope" in known
        self.schema = None if self.halves else onnx.defs.get_schema(proto.op_type, version, domain)

    def run(self, scope: Scope) -> None:
        """Reads the inputs from the scope and writes the outputs to it."""
        inputs = [scope[name] if name else None for name in self.inputs]
        half = {} if self.schema is None else self._widen(inputs)
        options = {**self.options, "scope": scope} if self.scoped else self.options
        result = self.function(*inputs, **options)
        results = result if isinstance(result, tuple) else (result,)
        if len(results) < len(self.outputs):
            raise Unsupported(f"output {len(results)} of {self.name}")
        for i, (name, value) in enumerate(zip(self.outputs, results, strict=False)):
            if name:
                scope[name] = self._narrow(i, value, half) if half else value

    def _widen(self, inputs: list[Value]) -> dict[str, DType]:
        """Puts float32 for half precision; the half dtype of each of the schema's type names."""
        half: dict[str, DType] = {}
        types = self.schema.inputs  # type: ignore[union-attr]
        for i, value in enumerate(inputs):
            if isinstance(value, Tensor) and value.dtype in _HALVES:
                half[types[min(i, len(types) - 1)].type_str] = value.dtype
                inputs[i] = value.to(float32)
        return half

    def _narrow(self, i: int, value: Value, half: dict[str, DType]) -> Value:
        types = self.schema.outputs  # type: ignore[union-attr]
        dtype = half.get(types[min(i, len(types) - 1)].type_str)
        return value if dtype is None else value.to(dtype)


class Graph:
    """The nodes of a graph, in order.

    Args:
        proto: the graph; its initializers are copied into tensors.
        opsets: version of each operator set, by domain.

    Raises:
        Unsupported: a node that no op runs.
    """

    def __init__(self, proto: GraphProto, opsets: Mapping[str, int]) -> None:
        if proto.sparse_initializer:
            raise Unsupported("sparse tensors")
        self.name = proto.name
        self.inputs = [v.name for v in proto.input]
        self.outputs = [v.name for v in proto.output]
        self.constants = {t.name: from_host(t) for t in proto.initializer}
        self.steps = [Step(n, opsets) for n in proto.node]

    def run(self, inputs: Mapping[str, Value], outer: Scope | None = None) -> list[Value]:
        """The outputs, from the inputs by name and the values of the graph around it."""
        own: dict[str, Value] = {**self.constants, **inputs}
        scope: Scope = own if outer is None else ChainMap(own, outer)
        for step in self.steps:
            step.run(scope)
        return [scope[name] for name in self.outputs]

    def call(self, inputs: Sequence[Value], outer: Scope) -> list[Value]:
        """The outputs of a subgraph, from its inputs in order."""
        return self.run(dict(zip(self.inputs, inputs, strict=True)), outer)


# ---- Values ----


def from_host(value: Any) -> Value:
    """A tensor holding an array's values; lists and None stay what they are.

    Raises:
        Unsupported: a dtype that ranvier does not have.
    """
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [from_host(v) for v in value]
    array = numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)
    if array.dtype == ml_dtypes.bfloat16:
        return tensor(array.astype(np.float32)).to(bfloat16)
    try:
        as_dtype(array.dtype)
    except TypeError:
        raise Unsupported(f"dtype {_name(array.dtype)}") from None
    return tensor(array)


def _name(dtype: np.dtype) -> str:
    return "string" if dtype.kind in "OSU" else dtype.name


def to_host(value: Value) -> Any:
    """A NumPy array of a tensor's values; ml_dtypes lends bfloat16."""
    if isinstance(value, list):
        return [to_host(v) for v in value]
    if value is None:
        return None
    if value.dtype == bfloat16:
        return value.to(float32).numpy().astype(ml_dtypes.bfloat16)
    return value.contiguous().numpy()


def dtype_of(code: int) -> DType:
    """The dtype that ONNX numbers so.

    Raises:
        Unsupported: ranvier does not have it.
    """
    found = helper.tensor_dtype_to_np_dtype(code)
    if found == ml_dtypes.bfloat16:
        return bfloat16
    try:
        return as_dtype(found)
    except TypeError:
        raise Unsupported(f"dtype {_name(found)}") from None


def attribute(proto: AttributeProto, opsets: Mapping[str, int]) -> Any:
    """An attribute's value: numbers, text, a tensor, a graph ready to run, or lists of them."""
    value = helper.get_attribute_value(proto)
    if proto.type == AttributeProto.GRAPH:
        return Graph(value, opsets)
    if proto.type == AttributeProto.TENSOR:
        return from_host(value)
    if proto.type == AttributeProto.STRING:
        return value.decode()
    if proto.type == AttributeProto.STRINGS:
        return [v.decode() for v in value]
    if proto.type in (AttributeProto.INTS, AttributeProto.FLOATS):
        return list(value)
    if proto.type in (AttributeProto.INT, AttributeProto.FLOAT, AttributeProto.TYPE_PROTO):
        return value
    raise Unsupported(f"attribute {proto.name} of this type")


def numbers(value: Value) -> list[int]:
    """The values of a small integer tensor that says shapes, axes or sizes."""
    return [int(v) for v in value.numpy().reshape(-1)]

"""The ONNX node tests against the committed table, and the backend around them.

See ``tests/io/onnx_cases.py`` for how the table is made.
"""

import subprocess
import sys

import numpy as np
import pytest

from tests.io import onnx_cases

onnx = pytest.importorskip("onnx")
backend = pytest.importorskip("ranvier.io.onnx")

helper = onnx.helper
F32 = onnx.TensorProto.FLOAT


def model_of(nodes, inputs, outputs, initializers=(), opset=22, **options):
    def infos(names):
        return [helper.make_tensor_value_info(name, F32, None) for name in names]

    graph = helper.make_graph(nodes, "graph", infos(inputs), infos(outputs), list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], **options)


@pytest.mark.skipif(
    not onnx.__version__.startswith(onnx_cases.committed_version()),
    reason=f"the table is of onnx {onnx_cases.committed_version()}",
)
class TestNodes:
    @pytest.mark.parametrize("row", onnx_cases.rows())
    def test_row(self, row):
        outcome = onnx_cases.run(row)
        assert not outcome.failed, "\n".join(outcome.failed)
        assert outcome.line(row) in onnx_cases.TABLE.read_text(encoding="utf-8").splitlines()
        if not outcome.passed:
            pytest.skip("; ".join(outcome.skipped))

    def test_every_case_has_a_row(self):
        assert list(onnx_cases.cases()) == onnx_cases.rows()

    def test_every_reason_is_needed(self):
        needed = set()
        for row in onnx_cases.rows():
            needed |= set(onnx_cases.run(row).skipped)
        assert needed == {*onnx_cases.REASONS.values(), *onnx_cases.NAMED.values()}


class TestDifference:
    """The comparison that decides above can tell things apart."""

    @pytest.mark.parametrize(
        ("got", "wanted", "text"),
        [
            (np.float32([1, 2]), np.float32([1, 2.01]), "1 of 2 differ, at (1,)"),
            (np.float32([1]), np.float64([1]), "expected float64"),
            (np.float32([[1]]), np.float32([1]), "expected float32 (1,), got float32 (1, 1)"),
            (np.float32([np.nan]), np.float32([1]), "1 of 1 differ"),
            ([np.float32(1)], [np.float32(1), np.float32(1)], "expected 2 values"),
            (None, np.float32([1]), "got None"),
        ],
    )
    def test_differs(self, got, wanted, text):
        assert text in onnx_cases.difference(got, wanted, 1e-3, 1e-7)

    def test_agrees(self):
        same = np.float32([np.nan, np.inf, 1])
        assert onnx_cases.difference([same], [same.copy()], 1e-3, 1e-7) is None


class TestBackend:
    def test_model(self):
        x = np.float32([[1, -2], [3, 4]])
        w = onnx.numpy_helper.from_array(np.float32([[1, 0], [1, 1]]), "w")
        nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", "h", "y")]
        model = model_of(nodes, ["x"], ["y"], [w])
        (y,) = backend.run_model(model, [x])
        assert y.tolist() == [[0, 0], [7, 4]]
        prepared = backend.prepare(model)
        (again,) = prepared.run({"x": x})
        assert again.tolist() == y.tolist()
        assert x.tolist() == [[1, -2], [3, 4]]

    def test_node(self):
        node = helper.make_node("Clip", ["x", "", "high"], ["y"])
        (y,) = backend.run_node(node, [np.float32([-9, 9]), np.float32(2)])
        assert y.tolist() == [-9, 2]
        old = helper.make_node("Clip", ["x"], ["y"], min=0.0)
        (y,) = backend.run_node(old, [np.float32([-9, 9])], opset_version=6)
        assert y.tolist() == [0, 9]

    def test_functions_of_a_model(self):
        twice = helper.make_function(
            "mine", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
            [helper.make_opsetid("", 22)],
        )  # fmt: skip
        node = helper.make_node("Twice", ["x"], ["y"], domain="mine")
        model = model_of([node], ["x"], ["y"], functions=[twice])
        model.opset_import.append(helper.make_opsetid("mine", 1))
        (y,) = backend.run_model(model, [np.float32([1, 2])])
        assert y.tolist() == [2, 4]

    def test_half_precision_is_computed_in_float32(self):
        x = np.float16([2048, 1, 1])
        node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
        (y,) = backend.run_node(node, [x])
        assert y.dtype == np.float16
        assert y == 2050

    @pytest.mark.parametrize(
        ("node", "text"),
        [
            (helper.make_node("Det", ["x"], ["y"]), "no op for Det"),
            (helper.make_node("Relu", ["x"], ["y"], slope=1.0), "Relu with attribute slope"),
            (helper.make_node("Relu", ["x"], ["y"], domain="mine"), "no op for mine.Relu"),
            (helper.make_node("Relu", ["x"], ["y", "z"]), "output 1 of Relu"),
        ],
    )
    def test_what_has_no_op(self, node, text):
        with pytest.raises(backend.Unsupported, match=text):
            backend.run_node(node, [np.ones((2, 2), np.float32)])

    def test_dtype_that_ranvier_lacks(self):
        node = helper.make_node("Relu", ["x"], ["y"])
        with pytest.raises(backend.Unsupported, match="dtype int8"):
            backend.run_node(node, [np.ones(2, np.int8)])

    def test_errors_of_ops_pass_through(self):
        node = helper.make_node("MatMul", ["a", "b"], ["y"])
        with pytest.raises(ValueError, match=r"\[matmul\]"):
            backend.run_node(node, [np.ones((2, 3), np.float32)] * 2)

    def test_devices(self):
        assert backend.supports_device("CPU")
        assert not backend.supports_device("CUDA")
        node = helper.make_node("Relu", ["x"], ["y"])
        with pytest.raises(TypeError, match="expected device CPU"):
            backend.run_node(node, [np.ones(2, np.float32)], device="CUDA:0")


def test_onnx_stays_optional():
    """Without the package, ranvier imports, and the backend names the cure."""
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "import ranvier, ranvier.io, ranvier.io.onnx as backend\n"
        "try: backend.run_model\n"
        "except ModuleNotFoundError as error: assert 'pip install' in str(error), error\n"
        "else: raise AssertionError('no error')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

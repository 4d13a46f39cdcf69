"""The ONNX node tests against the committed table, and the backend around them.

See ``tests/io/onnx_cases.py`` for how the table is made.
"""

import itertools
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
    @pytest.mark.kernels
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
        model.graph.input.append(helper.make_tensor_value_info("w", F32, None))
        (doubled,) = backend.run_model(model, [x, 2 * np.float32([[1, 0], [1, 1]])])
        assert doubled.tolist() == [[0, 0], [14, 8]]
        for wrong in ([], [x, x], {"y": x}):
            with pytest.raises(ValueError, match=r"\[onnx\] expected inputs x, got"):
                prepared.run(wrong)

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
            (helper.make_node("Relu", ["x"], ["y"], x=1.0), "Relu with attribute x"),
            (helper.make_node("Relu", ["x", "x"], ["y"]), "Relu with 2 inputs"),
            (helper.make_node("Relu", ["x"], ["y", "z"]), "output 1 of Relu"),
        ],
    )
    def test_what_has_no_op(self, node, text):
        with pytest.raises(backend.Unsupported, match=text):
            backend.run_node(node, [np.ones((2, 2), np.float32)] * len(node.input))

    def test_compatible_models(self):
        yes, no = (
            model_of([helper.make_node(op, ["x"], ["y"])], ["x"], ["y"]) for op in ("Abs", "Det")
        )
        assert backend.RanvierBackend.is_compatible(yes)
        assert not backend.RanvierBackend.is_compatible(no)

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


def windows(sizes, kernel, strides, pads, dilations, ceil_mode):
    """For each window of an ONNX pooling, by its place, the samples in it and how much padding.

    Rounded up, a window must still start inside the input or the padding before it.
    """
    axes = []
    for i, (n, k, s, d) in enumerate(zip(sizes, kernel, strides, dilations, strict=True)):
        before, after = pads[i], pads[i + len(sizes)]
        free = n + before + after - d * (k - 1) - 1
        count = (-(-free // s) if ceil_mode else free // s) + 1
        if ceil_mode and (count - 1) * s >= n + before:
            count -= 1
        axes.append(
            [[w * s - before + t * d for t in range(k) if w * s - before + t * d < n + after]
             for w in range(count)]
        )  # fmt: skip
    for place in np.ndindex(*[len(a) for a in axes]):
        taps = list(itertools.product(*[axis[w] for axis, w in zip(axes, place, strict=True)]))
        inside = [t for t in taps if all(0 <= i < n for i, n in zip(t, sizes, strict=True))]
        yield place, inside, len(taps)


@pytest.mark.parametrize("seed", range(40))
def test_any_geometry_of_pooling(seed):
    """Padding of each side, dilation and rounding together, beyond what ONNX's cases combine."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    sizes, kernel = rng.integers(4, 8, n).tolist(), rng.integers(1, 4, n).tolist()
    options = {
        "strides": rng.integers(1, 4, n).tolist(),
        "dilations": rng.integers(1, 3, n).tolist() if seed % 2 else [1] * n,
        "pads": [int(rng.integers(0, min(kernel[i % n], 3))) for i in range(2 * n)],
        "ceil_mode": int(rng.integers(0, 2)),
    }
    if any(d * (k - 1) >= m for d, k, m in zip(options["dilations"], kernel, sizes, strict=True)):
        options["dilations"] = [1] * n
    x = rng.standard_normal((1, 1, *sizes)).astype(np.float32)
    include = int(rng.integers(0, 2))

    def pooled(op, outputs, **more):
        node = helper.make_node(op, ["x"], outputs, kernel_shape=kernel, **options, **more)
        return [y[0, 0] for y in backend.run_node(node, [x])]

    largest, where = pooled("MaxPool", ["y", "i"])
    (mean,) = pooled("AveragePool", ["y"], count_include_pad=include)
    (norm,) = pooled("LpPool", ["y"], p=2)
    every = list(windows(sizes, kernel, **options))
    assert largest.shape == tuple(i + 1 for i in every[-1][0])
    for place, inside, taps in every:
        values = np.array([x[0, 0][t] for t in inside], np.float64)
        if not len(values):  # all padding
            continue
        assert largest[place] == values.max()
        assert where[place] == np.ravel_multi_index(inside[values.argmax()], tuple(sizes))
        count = taps if include else len(values)
        assert mean[place] == pytest.approx(values.sum() / count, rel=1e-5, abs=1e-6)
        assert norm[place] == pytest.approx(np.sqrt((values**2).sum()), rel=1e-5)


@pytest.mark.parametrize("size", range(1, 7))
def test_local_response_of_any_size(size):
    """Of an even number of channels, ONNX has the longer half after, ours before."""
    x = np.random.default_rng(size).standard_normal((2, 7, 3, 2)).astype(np.float32)
    node = helper.make_node("LRN", ["x"], ["y"], size=size, alpha=0.1, beta=0.6, bias=1.5)
    (y,) = backend.run_node(node, [x])
    squares = np.zeros(x.shape)
    for c in range(7):
        first = max(c - (size - 1) // 2, 0)
        squares[:, c] = (np.float64(x[:, first : c + size // 2 + 1]) ** 2).sum(1)
    np.testing.assert_allclose(y, x / (1.5 + 0.1 / size * squares) ** 0.6, rtol=1e-5)


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

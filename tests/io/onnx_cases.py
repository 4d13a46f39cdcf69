"""The tests that come with ONNX, run on ranvier: what passes, what is skipped, and why.

    python -m tests.io.onnx_cases docs/onnx-node-tests.md

writes the table that ``tests/io/test_onnx_nodes.py`` holds every run against. A case passes, or is
skipped for a reason in `REASONS` (ranvier says what it lacks) or in `NAMED` (one case each).
Anything else is a failure.
"""

from __future__ import annotations

import glob
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

TABLE = Path(__file__).resolve().parents[2] / "docs" / "onnx-node-tests.md"

_QUANTIZED = "ranvier has no quantized numbers"
_EIGHTS = "ranvier has no 8-bit floating numbers"
_NARROW = "ranvier has no numbers of 4 bits and less"
_UNSIGNED = "of the unsigned integers ranvier has uint8"
_SIGNED = "of the signed integers ranvier has int32 and int64"
_TEXT = "ranvier has no text"
_EXPANDS = "ONNX cannot write it out where inputs are left out; the expanded case runs"
_BITS = "no op on the bits of integers"
_FLOAT16 = "one unit in the last place of float16 is more than the tolerance"
_SIGNAL = "no signal processing"
_OPTIMIZER = "optimizers are not ops"

# What ranvier answers: why that is so. An answer that is not here fails the test, and so does a
# line here that no case needs.
REASONS = {
    "dtype string": _TEXT,
    "dtype int8": _SIGNED,
    "dtype int16": _SIGNED,
    "dtype uint16": _UNSIGNED,
    "dtype uint32": _UNSIGNED,
    "dtype uint64": _UNSIGNED,
    "dtype int4": _NARROW,
    "dtype int2": _NARROW,
    "dtype uint4": _NARROW,
    "dtype uint2": _NARROW,
    "dtype float4_e2m1fn": _NARROW,
    "dtype float8_e4m3fn": _EIGHTS,
    "dtype float8_e4m3fnuz": _EIGHTS,
    "dtype float8_e5m2": _EIGHTS,
    "dtype float8_e5m2fnuz": _EIGHTS,
    "dtype float8_e8m0fnu": _EIGHTS,
    "no op for Attention": _EXPANDS,
    "no op for Bernoulli": "random numbers of another generator",
    "no op for BitCast": _BITS,
    "no op for BitShift": _BITS,
    "no op for BitwiseAnd": _BITS,
    "no op for BitwiseNot": _BITS,
    "no op for BitwiseOr": _BITS,
    "no op for BitwiseXor": _BITS,
    "no op for BlackmanWindow": _SIGNAL,
    "no op for CausalConvWithState": _EXPANDS,
    "no op for ConvInteger": _QUANTIZED,
    "no op for DFT": _SIGNAL,
    "no op for DeformConv": "no deformable convolution",
    "no op for DequantizeLinear": _QUANTIZED,
    "no op for Det": "no determinant",
    "no op for DynamicQuantizeLinear": _QUANTIZED,
    "no op for GridSample": "no spatial transformer",
    "no op for HammingWindow": _SIGNAL,
    "no op for HannWindow": _SIGNAL,
    "no op for ImageDecoder": "no image files in a graph",
    "no op for LinearAttention": _EXPANDS,
    "no op for MatMulInteger": _QUANTIZED,
    "no op for MelWeightMatrix": _SIGNAL,
    "no op for NonMaxSuppression": "no object detection",
    "no op for QLinearConv": _QUANTIZED,
    "no op for QLinearMatMul": _QUANTIZED,
    "no op for QuantizeLinear": _QUANTIZED,
    "no op for RandomUniformLike": "random numbers of another generator",
    "no op for RegexFullMatch": _TEXT,
    "no op for RoiAlign": "no object detection",
    "no op for STFT": _SIGNAL,
    "no op for StringConcat": _TEXT,
    "no op for StringNormalizer": _TEXT,
    "no op for StringSplit": _TEXT,
    "no op for TfIdfVectorizer": _TEXT,
    "no op for ai.onnx.ml.ArrayFeatureExtractor": "classical machine learning",
    "no op for ai.onnx.ml.Binarizer": "classical machine learning",
    "no op for ai.onnx.ml.LabelEncoder": "classical machine learning",
    "no op for ai.onnx.ml.TreeEnsemble": "classical machine learning",
    "no op for ai.onnx.preview.training.Adagrad": _OPTIMIZER,
    "no op for ai.onnx.preview.training.Adam": _OPTIMIZER,
    "no op for ai.onnx.preview.training.Gradient": "gradients are taken by backward()",
    "no op for ai.onnx.preview.training.Momentum": _OPTIMIZER,
    "Scan of operator set 8": "its batch axis went in operator set 9",
    "random numbers of another generator": "random numbers of another generator",
}

# Cases that run and do not give what the case says.
NAMED = {
    "test_attention_4d_causal_fp16": _FLOAT16,
    "test_attention_4d_causal_fp16_expanded": _FLOAT16,
}


@dataclass
class Case:
    """One model with inputs and outputs.

    Attributes:
        name: as ONNX calls it.
        row: the line of the table that counts it.
        load: the protobuf message of the model.
        data: pairs of inputs and expected outputs.
    """

    name: str
    row: str
    load: Callable[[], Any]
    data: Callable[[], list[tuple[Any, Any]]]
    rtol: float
    atol: float


@dataclass
class Row:
    """Outcomes of one kind of node."""

    passed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def line(self, name: str) -> str:
        """The row as the table has it."""
        why = "; ".join(f"{n} {reason}" for reason, n in sorted(self.skipped.items()))
        return f"| {name} | {self.passed} | {sum(self.skipped.values())} | {why} |"


# ---- The cases ----


@cache
def cases() -> dict[str, list[Case]]:
    """All cases, by the row that counts them."""
    found: dict[str, list[Case]] = {}
    for case in [*_nodes(), *_models()]:
        found.setdefault(case.row, []).append(case)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _nodes() -> Iterator[Case]:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():  # of NumPy, from overflows that the cases mean to have
        warnings.simplefilter("ignore")
        collected = list(collect_testcases(None))
    kinds = {}
    for c in collected:
        nodes = c.model.graph.node
        if "_expanded" not in c.name:
            own = f"{nodes[0].domain}.{nodes[0].op_type}".lstrip(".")
            kinds[c.name] = own if len(nodes) == 1 else "(several nodes)"
    for c in collected:
        plain = c.name.partition("_expanded")[0]
        row = kinds[plain] if plain == c.name else f"{kinds[plain]}, expanded"
        yield Case(c.name, row, lambda c=c: c.model, lambda c=c: c.data_sets, c.rtol, c.atol)


def _models() -> Iterator[Case]:
    from onnx import load
    from onnx.backend.test.loader import DATA_DIR, load_model_tests

    for kind in ("simple", "pytorch-converted", "pytorch-operator"):
        for c in sorted(load_model_tests(kind=kind), key=lambda c: c.name):
            path = os.path.join(c.model_dir, "model.onnx")
            yield Case(
                c.name, f"models: {kind}", lambda path=path: load(path),
                lambda path=path: _files(path), c.rtol, c.atol,
            )  # fmt: skip
    for path in sorted(glob.glob(os.path.join(DATA_DIR, "light", "*.onnx"))):
        name = os.path.basename(path)[:-5]
        if name in ("light_vgg19", "light_zfnet512", "light_bvlc_alexnet"):
            continue  # hundreds of megabytes of equal weights
        yield Case(
            name, "models: light", lambda path=path: load(path),
            lambda path=path: [_light(path)], 1e-3, 1e-7,
        )  # fmt: skip


def _files(path: str) -> list[tuple[Any, Any]]:
    from onnx import load

    graph = load(path).graph
    folders = sorted(glob.glob(os.path.join(os.path.dirname(path), "test_data_set_*")))
    return [
        (_values(folder, "input", graph.input), _values(folder, "output", graph.output))
        for folder in folders
    ]


def _values(folder: str, kind: str, declared: Any) -> list[Any]:
    from onnx import SequenceProto, TensorProto, numpy_helper

    values = []
    for i in range(len(glob.glob(os.path.join(folder, f"{kind}_*.pb")))):
        content = Path(folder, f"{kind}_{i}.pb").read_bytes()
        if declared[i].type.HasField("sequence_type"):
            values.append(numpy_helper.to_list(SequenceProto.FromString(content)))
        else:
            values.append(TensorProto.FromString(content))
    return values


def _light(path: str) -> tuple[Any, Any]:
    """A network whose weights are all equal, and its output of a ramp."""
    from onnx import TensorProto, load

    graph = load(path).graph
    weights = {t.name for t in graph.initializer}
    inputs = {}
    for v in graph.input:
        if v.name not in weights:
            shape = [d.dim_value or 1 for d in v.type.tensor_type.shape.dim]
            n = int(np.prod(shape))
            inputs[v.name] = (np.arange(n).reshape(shape) / n).astype(np.float32)
    expected = Path(f"{path[:-5]}_output_0.pb").read_bytes()
    return inputs, [TensorProto.FromString(expected)]


# ---- Running them ----


def run(row: str) -> Row:
    """Runs the cases of one row."""
    outcome = Row()
    for case in cases()[row]:
        answer, wrong = _answer(case)
        if wrong is None and answer is None:
            if case.name in NAMED:
                outcome.failed.append(f"{case.name}: passes - take it out of NAMED")
            outcome.passed += 1
        elif answer is None and case.name in NAMED:
            outcome.skipped[NAMED[case.name]] += 1
        elif answer in REASONS:
            outcome.skipped[REASONS[answer]] += 1
        else:
            outcome.failed.append(f"{case.name}: {answer or wrong}")
    return outcome


def _answer(case: Case) -> tuple[str | None, str | None]:
    """What ranvier says that it lacks, and what is wrong; both None for a pass."""
    from ranvier.io.onnx import Unsupported, prepare

    try:
        model = prepare(case.load())
        for inputs, expected in case.data():
            wrong = difference(model.run(inputs), expected, case.rtol, case.atol)
            if wrong:
                return None, wrong
    except Unsupported as lacking:
        return str(lacking), None
    except Exception as error:  # whatever an op raises is this case's failure, not the whole run's
        return None, f"{type(error).__name__}: {error}"
    return None, None


def difference(got: Any, wanted: Any, rtol: float, atol: float) -> str | None:
    """What distinguishes two values, or None: type, shape, or a number beyond the tolerance."""
    from onnx import TensorProto, numpy_helper

    if isinstance(wanted, TensorProto):
        wanted = numpy_helper.to_array(wanted)
    if isinstance(wanted, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(wanted):
            return f"expected {len(wanted)} values, got {got!r:.100}"
        each = (difference(g, w, rtol, atol) for g, w in zip(got, wanted, strict=True))
        return next((d for d in each if d), None)
    if wanted is None or got is None:
        return None if wanted is got else f"expected {wanted!r:.100}, got {got!r:.100}"
    wanted = np.asarray(wanted)
    if (got.dtype, got.shape) != (wanted.dtype, wanted.shape):
        return f"expected {wanted.dtype} {wanted.shape}, got {got.dtype} {got.shape}"
    if wanted.dtype.name == "bfloat16":  # at least two units in the last place, as ONNX has it
        got, wanted, rtol = got.astype(np.float32), wanted.astype(np.float32), max(rtol, 2**-6)
    near = np.isclose(got, wanted, rtol, atol, equal_nan=True)
    if near.all():
        return None
    at = tuple([int(i) for i in np.argwhere(~near)[0]])
    return f"{(~near).sum()} of {near.size} differ, at {at} {got[at]} instead of {wanted[at]}"


# ---- The table ----

_HEAD = """\
# The ONNX node tests

The package `onnx` comes with a test for every kind of node: a model of one node, or the definition
of that node by simpler ones ("expanded"), with inputs and outputs. `ranvier.io.onnx` runs them on
the ops of `ranvier.functional`, so they are a second opinion on these ops, written by others. Small
models that PyTorch exported, and whole networks with equal weights, come with it too.

Every case passes, or is skipped for the reason that stands here; the tests run all of them and
fail where this table says something else. It is written by
`python -m tests.io.onnx_cases docs/onnx-node-tests.md` (onnx {version}).

**{passed} of {total} cases pass, {skipped} are skipped, none fails.**

| Node | Passed | Skipped | Why |
| --- | ---: | ---: | --- |
"""


def rows() -> list[str]:
    """The names of the rows of the committed table."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [line.split("|")[1].strip() for line in lines if line.startswith("| ")][2:]


def committed_version() -> str:
    """The version of onnx that the committed table was made with."""
    return TABLE.read_text(encoding="utf-8").partition("(onnx ")[2].partition(")")[0]


def main(path: str) -> None:
    """Runs everything and writes the table; exits with the failures where there are some."""
    import onnx

    outcomes = {row: run(row) for row in cases()}
    failures = [text for outcome in outcomes.values() for text in outcome.failed]
    if failures:
        sys.exit("\n".join(failures))
    passed = sum(o.passed for o in outcomes.values())
    skipped = sum(sum(o.skipped.values()) for o in outcomes.values())
    head = _HEAD.format(
        version=onnx.__version__, passed=f"{passed:,}", skipped=skipped,
        total=f"{passed + skipped:,}",
    )  # fmt: skip
    text = head + "".join(f"{outcome.line(row)}\n" for row, outcome in outcomes.items())
    Path(path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])

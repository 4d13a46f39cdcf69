"""The safetensors reader and writer: against the package, and against hostile files."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import ranvier as rv
from ranvier.io import load_arrays, load_file, read_header, save_file
from ranvier.io.files import atomic_write
from ranvier.io.safetensors import MAX_HEADER

oracle = pytest.importorskip("safetensors.numpy")
DTYPES = ["float64", "float32", "float16", "int64", "int32", "uint8", "bool"]
CI = settings(
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def file_of(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: str = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert set(left) == set(right)
    for name in left:
        assert left[name].dtype == right[name].dtype
        assert left[name].shape == right[name].shape
        assert left[name].tobytes() == right[name].tobytes()


arrays = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(
        lambda name: name != "__metadata__"
    ),
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
    ),
    max_size=6,
)


@CI
@given(arrays, st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.text("aß☃")))
def test_round_trip_and_package_agree(tmp_path: Path, tensors: dict, metadata: dict) -> None:
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    save_file(tensors, ours, metadata)
    same(load_arrays(ours), tensors)
    assert list(load_arrays(ours)) == list(tensors)
    assert read_header(ours).metadata == metadata
    assert read_header(ours).start % 8 == 0
    same(oracle.load_file(ours), tensors)
    # Without tensors and with an empty map the package (0.8) writes two objects, no valid JSON.
    oracle.save_file(tensors, theirs, metadata or None)
    same(load_arrays(theirs), tensors)
    assert read_header(theirs).metadata == metadata


def test_package_reads_our_metadata(tmp_path: Path) -> None:
    from safetensors import safe_open

    path = tmp_path / "m.safetensors"
    save_file({"w": np.ones(3, np.float32)}, path, {"config": '{"name": "lenet"}'})
    with safe_open(path, "np") as file:
        assert file.metadata() == {"config": '{"name": "lenet"}'}


def test_every_tensor_is_aligned(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": np.ones(3, bool), "b": np.ones(3, np.float16), "c": np.ones(3)}, path)
    header = read_header(path)
    for name, width in (("a", 1), ("b", 2), ("c", 8)):
        assert (header.start + header.entries[name].begin) % width == 0
    assert list(header.entries) == ["a", "b", "c"]


def test_strided_swapped_and_listed_inputs(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    grid = np.arange(24, dtype=np.float32).reshape(4, 6)
    save_file({"t": grid.T, "s": grid[::2, ::-3], "big": grid.astype(">f4"), "l": [1, 2]}, path)
    loaded = load_arrays(path)
    np.testing.assert_array_equal(loaded["t"], grid.T)
    np.testing.assert_array_equal(loaded["s"], grid[::2, ::-3])
    np.testing.assert_array_equal(loaded["big"], grid)
    assert loaded["l"].dtype == np.int64
    assert loaded["big"].dtype.isnative
    loaded["t"][0, 0] = 5  # own memory, not a read-only view of the file


def test_bfloat16_bits(tmp_path: Path) -> None:
    values = np.float32([1.0, -2.5, np.inf, -np.inf, 0.0, -0.0, 3.0e38, 1e-40]).view("<u4")
    raw = (values >> 16).astype("<u2")
    path = tmp_path / "b.safetensors"
    path.write_bytes(file_of({"w": entry("BF16", [2, 4], [0, 16])}, raw.tobytes()))
    loaded = load_arrays(path)["w"]
    assert loaded.shape == (2, 4)
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded.view("<u4").ravel() >> 16, raw)


def test_save_and_load_of_modules_and_tensors(tmp_path: Path) -> None:
    class Module:
        def state_dict(self) -> dict:
            return {"w": np.float32([1, 2])}

    save_file(Module(), tmp_path / "m", {"a": "b"})
    assert read_header(tmp_path / "m").metadata == {"a": "b"}
    loaded = load_file(tmp_path / "m")["w"]
    assert isinstance(loaded, rv.Tensor)
    assert loaded.tolist() == [1, 2]
    save_file({"w": loaded * 2}, tmp_path / "m")
    assert load_file(tmp_path / "m")["w"].tolist() == [2, 4]
    with pytest.raises(TypeError, match="give a single tensor a name"):
        save_file(loaded, tmp_path / "m")


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool"]
)
def test_tensors_of_every_dtype(tmp_path: Path, dtype: str) -> None:
    kind = getattr(rv, dtype)
    for values in ([[0, 1, 1], [1, 0, 1]], []):
        tensor = rv.tensor(values, dtype=kind)
        save_file({"t": tensor}, tmp_path / "t")
        loaded = load_file(tmp_path / "t")["t"]
        assert loaded.dtype == tensor.dtype
        assert tuple(loaded.shape) == tuple(tensor.shape)
        assert loaded.to(rv.float64).tolist() == tensor.to(rv.float64).tolist()
    header = read_header(tmp_path / "t").entries["t"]
    short = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
    assert header.dtype == short.get(dtype, header.dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3)])
def test_shapes_without_axes_or_elements(
    tmp_path: Path, dtype: str, shape: tuple[int, ...]
) -> None:
    x = rv.full(shape, 1.0, dtype=dtype)
    rv.save({"x": x}, tmp_path / "x.safetensors")
    y = rv.load(tmp_path / "x.safetensors")["x"]
    assert (y.shape, y.dtype, y.tolist()) == (shape, x.dtype, x.tolist())


def test_bfloat16_tensor_keeps_its_bits(tmp_path: Path) -> None:
    values = np.float32([1.0, -2.5, 3.0e38, 1e-40, np.inf, 0.333])
    tensor = rv.tensor(values).to(rv.bfloat16)
    save_file({"t": tensor}, tmp_path / "t")
    assert load_file(tmp_path / "t")["t"].to(rv.float32).tolist() == tensor.to(rv.float32).tolist()


def test_same_input_same_bytes(tmp_path: Path) -> None:
    tensors = {"b": np.arange(3), "a": np.zeros((2, 0))}
    save_file(tensors, tmp_path / "1")
    save_file(tensors, tmp_path / "2")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": np.zeros(2)}, path)
    before = path.read_bytes()

    class Broken:
        def __array__(self, *_: object, **__: object) -> np.ndarray:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        save_file({"a": Broken()}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.safetensors"]


@pytest.mark.parametrize(
    ("tensors", "metadata", "kind", "text"),
    [
        ({"a": np.zeros(2, np.complex64)}, None, TypeError, "complex64"),
        ({"a": np.array(["x"])}, None, TypeError, "astype"),
        ({1: np.zeros(2)}, None, TypeError, "str"),
        ({"__metadata__": np.zeros(2)}, None, ValueError, "reserved"),
        ({"a": np.zeros(2)}, {"epoch": 3}, TypeError, "json.dumps"),
        ({"\ud800": np.zeros(2)}, None, ValueError, "surrogate"),
    ],
)
def test_refused_to_write(tmp_path: Path, tensors, metadata, kind, text: str) -> None:
    with pytest.raises(kind, match=text):
        save_file(tensors, tmp_path / "x", metadata)
    assert not os.listdir(tmp_path)


F8 = b"\0" * 8
HOSTILE = {
    "empty": (b"", "only 0 bytes"),
    "seven bytes": (b"\1" * 7, "only 7 bytes"),
    "huge length": (struct.pack("<Q", 2**63) + b"{}", "more than the limit"),
    "all ones": (b"\xff" * 64, "more than the limit"),
    "beyond the file": (file_of({}, length=50), "only 2 follow"),
    "no object": (file_of(b"[1, 2]"), "not a JSON object"),
    "leading space": (file_of(b" {}"), "not a JSON object"),
    "nothing": (file_of(b""), "not a JSON object"),
    "bad JSON": (file_of(b'{"a": '), "not valid JSON"),
    "two objects": (file_of(b"{}{}"), "not valid JSON"),
    "bad UTF-8": (file_of(b'{"\xff\xfe": 1}'), "not UTF-8"),
    "deep": (file_of(b'{"a":' + b"[" * 200_000), "nested too deeply"),
    "NaN": (file_of(b'{"a": NaN}'), "NaN"),
    "digits": (file_of(b'{"a": ' + b"9" * 5000 + b"}"), "not valid JSON"),
    "twice": (file_of(b'{"a": 1, "a": 2}'), "'a' twice"),
    "no fields": (file_of({"a": {}}), "lacks exactly"),
    "a list": (file_of({"a": []}), "lacks exactly"),
    "extra field": (file_of({"a": entry() | {"x": 1}}, F8), "lacks exactly"),
    "dtype": (file_of({"a": entry("C64")}, F8), "C64"),
    "dtype no text": (file_of({"a": entry(["F32"])}, F8), "dtype"),
    "shape no list": (file_of({"a": entry(shape=2)}, F8), "not a list of sizes"),
    "shape negative": (file_of({"a": entry(shape=[-2])}, F8), "not a list of sizes"),
    "shape float": (file_of({"a": entry(shape=[2.0])}, F8), "not a list of sizes"),
    "shape bool": (file_of({"a": entry(shape=[True, 2])}, F8), "not a list of sizes"),
    "shape product": (file_of({"a": entry(shape=[2**32, 2**32])}, F8), "overflows"),
    "shape with zero": (file_of({"a": entry(shape=[0, 2**62], offsets=[0, 0])}), "overflows"),
    "shape beyond 63 bits": (file_of({"a": entry(shape=[2**64])}, F8), "not a list of sizes"),
    "many dimensions": (file_of({"a": entry(shape=[1] * 60 + [2])}, F8), "60|61 dimensions"),
    "size": (file_of({"a": entry(shape=[3])}, F8), "takes 12 bytes"),
    "offsets negative": (file_of({"a": entry(offsets=[-8, 0])}, F8), "not two sizes"),
    "offsets reversed": (file_of({"a": entry(offsets=[8, 0])}, F8), "span -8"),
    "three offsets": (file_of({"a": entry(offsets=[0, 4, 8])}, F8), "not two sizes"),
    "offsets outside": (file_of({"a": entry(offsets=[8, 16])}, F8), "ends at byte 16"),
    "far outside": (file_of({"a": entry("U8", [2**50], [0, 2**50])}, F8), "ends at byte"),
    "overlap": (file_of({"a": entry(), "b": entry(shape=[1], offsets=[4, 8])}, F8), "overlaps"),
    "hole": (file_of({"a": entry(shape=[1], offsets=[4, 8])}, F8), "hole"),
    "tail": (file_of({"a": entry()}, F8 + b"x"), "1 bytes at the end"),
    "truncated": (file_of({"a": entry()}, F8[:-1]), "of only 7 data bytes"),
    "bool of 2": (file_of({"a": entry("BOOL", [2], [0, 2])}, b"\1\2"), "0 and 1"),
    "metadata list": (file_of({"__metadata__": []}), "text to text"),
    "metadata number": (file_of({"__metadata__": {"a": 1}}), "text to text"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file(tmp_path: Path, name: str) -> None:
    raw, cause = HOSTILE[name]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=cause) as error:
        load_arrays(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600 + len(str(path))


def test_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_arrays(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        load_arrays(tmp_path)
    with pytest.raises(ValueError, match="not a regular file"):
        load_arrays("/dev/zero")


@settings(CI, max_examples=150)
@given(st.data())
def test_mutations_never_crash(tmp_path: Path, data: st.DataObject) -> None:
    """Any bytes changed, cut or added: a valid result, or one ValueError; nothing else."""
    path = tmp_path / "m.safetensors"
    save_file(
        {"w": np.arange(6.0).reshape(2, 3), "flag": np.array([True, False])}, path, {"k": "v"}
    )
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["set", "cut", "insert", "digit"]))
        at = data.draw(st.integers(0, max(0, len(raw) - 1)))
        if kind == "set" and raw:
            raw[at] = data.draw(st.integers(0, 255))
        elif kind == "digit" and raw:
            raw[at] = data.draw(st.sampled_from(b'0123456789-.,[]{}"'))
        elif kind == "cut":
            del raw[at : at + data.draw(st.integers(1, 20))]
        else:
            raw[at:at] = data.draw(st.binary(min_size=1, max_size=20))
    path.write_bytes(bytes(raw))
    try:
        loaded = load_arrays(path)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017 - both outcomes are allowed
    else:
        assert sum(array.nbytes for array in loaded.values()) <= len(raw)


def test_no_huge_allocation(tmp_path: Path) -> None:
    """Files of a few bytes that promise terabytes are refused within a small address space."""
    claims = {
        "header.safetensors": struct.pack("<Q", MAX_HEADER) + b"{",
        "data.safetensors": file_of({"a": entry("F64", [2**40], [0, 2**43])}, F8),
    }
    for name, raw in claims.items():
        (tmp_path / name).write_bytes(raw)
    code = f"""
import resource, numpy
from ranvier.io import load_arrays
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (32 << 20),) * 2)
for name in {sorted(claims)}:
    try:
        load_arrays({str(tmp_path)!r} + "/" + name)
    except ValueError:
        print("refused")
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc to limit the address space")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["refused", "refused"], result.stderr


def test_a_number_is_no_path() -> None:
    with pytest.raises(TypeError):
        rv.load(2)


def test_every_length_of_a_header_is_read(tmp_path: Path) -> None:
    """One of 640 bytes begins like a pickle of version 2, and was once taken for it."""
    path, lengths = tmp_path / "a.safetensors", set()
    for pad in range(480, 1500, 8):
        save_file({"w": np.float32([1, 2])}, path, {"pad": "x" * pad})
        lengths.add(int.from_bytes(path.read_bytes()[:8], "little"))
        assert load_arrays(path)["w"].tolist() == [1, 2]
    assert {640, 896, 1152, 1408} <= lengths


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"PK\x03\x04" + bytes(26) + b"archive/data.pkl", r"torch\.save.*safetensors\.torch"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", r"torch\.save"),
        (b"PK\x03\x04" + bytes(26) + b"x.npy", r"an \.npz of NumPy.*numpy\.load"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", r"an \.npy of NumPy.*numpy\.load"),
        (b"\x80\x04\x95\x13\x00\x00\x00\x00\x00\x00\x00}", "it is a pickle, which is never opened"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
    ],
)
def test_files_of_others_are_called_by_their_name(tmp_path: Path, first: bytes, words: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(first + bytes(200))
    with pytest.raises(ValueError, match=words):
        load_file(path)


@pytest.mark.parametrize("inside", ["nowhere/a.safetensors", "file/a.safetensors", "folder"])
def test_what_cannot_be_written_is_named_as_it_was_given(tmp_path: Path, inside: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=inside) as caught:
        save_file({"w": np.zeros(2)}, tmp_path / inside)
    assert caught.value.filename == str(tmp_path / inside)
    assert ".tmp" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_said_with_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")

    def fill() -> None:
        with atomic_write(path) as file:
            os.dup2(full := os.open("/dev/full", os.O_WRONLY), file.fileno())
            os.close(full)
            file.write(b"new")

    with pytest.raises(OSError, match=r"No space.*a\.safetensors'$"):
        fill()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.safetensors"]

import contextlib
import gzip
import io
import struct
import tarfile
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.data.formats import read_cifar, read_idx, unpack

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array, code="u1"):
    array = np.asarray(array)
    head = bytes([0, 0, CODES[code], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(f">{code}").tobytes()


@pytest.mark.parametrize("code", sorted(CODES))
@pytest.mark.parametrize("packed", [False, True])
def test_every_type_both_ways(tmp_path, code, packed):
    values = np.arange(-6, 18).reshape(2, 3, 4) if code != "u1" else np.arange(24).reshape(2, 3, 4)
    data = idx(values, code)
    path = tmp_path / "any-name"
    path.write_bytes(gzip.compress(data) if packed else data)
    got = read_idx(path)
    assert got.dtype == np.dtype(code)
    assert got.dtype.isnative
    assert np.array_equal(got, values)
    got[0] = 0  # its own memory, writable


def test_an_empty_axis(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(idx(np.zeros((0, 28, 28), np.uint8)))
    assert read_idx(path).shape == (0, 28, 28)


HOSTILE = {
    "empty": (b"", "IDX header"),
    "short": (b"\0\0\x08", "IDX header"),
    "text": (b"<html>not found</html>", "IDX header"),
    "type": (b"\0\0\x07\x01\0\0\0\0", "IDX header"),
    "no axes": (b"\0\0\x08\0", "IDX header"),
    "sizes cut": (b"\0\0\x08\x03" + struct.pack(">2I", 4, 28), "sizes of 3 axes"),
    "truncated": (idx(np.zeros((4, 28, 28)))[:-1], "bytes for the shape"),
    "longer": (idx(np.zeros((4, 28, 28))) + b"\0", "bytes for the shape"),
    "huge": (b"\0\0\x08\x03" + struct.pack(">3I", *[2**32 - 1] * 3), "bytes for the shape"),
    "overflow": (b"\0\0\x0e\xff" + struct.pack(">255I", *[2**32 - 1] * 255), "bytes for the"),
    "wraps to 0": (b"\0\0\x08\x02" + struct.pack(">2I", 2**31, 2**31) + b"x", "bytes for the"),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
@pytest.mark.parametrize("packed", [False, True])
def test_hostile_files_are_refused_without_a_large_allocation(tmp_path, name, packed):
    data, message = HOSTILE[name]
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(data) if packed else data)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_a_claim_within_the_ratio_costs_only_what_is_there(tmp_path):
    # 100 kB of noise: deflate could hold 100 MB, the header claims 90 MB, there are 0.1.
    noise = np.random.default_rng(0).bytes(100_000)
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 90_000_000) + noise))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="has 100,000"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_damaged_gzip(tmp_path):
    data = gzip.compress(idx(np.random.default_rng(0).integers(0, 256, (40, 28, 28))))
    path = tmp_path / "x.gz"
    for bad in (data[:-3], data[: len(data) // 2], data[:12], data[:100] + b"\xff" + data[101:]):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=r"\[idx\]"):
            read_idx(path)


@given(st.binary(max_size=60))
def test_any_bytes_give_an_array_or_a_value_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("idx") / "x"
    for content in (data, b"\0\0" + data, b"\x1f\x8b" + data):
        path.write_bytes(content)
        with contextlib.suppress(ValueError):
            assert isinstance(read_idx(path), np.ndarray)


def records(n, label_bytes=1, seed=0):
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 256, (n, label_bytes + 3072), dtype=np.uint8)
    data[:, :label_bytes] %= 10
    return data


@pytest.mark.parametrize("label_bytes", [1, 2])
def test_cifar_records(tmp_path, label_bytes):
    data = records(5, label_bytes)
    path = tmp_path / "x.bin"
    path.write_bytes(data.tobytes())
    x, y = read_cifar(path, label_bytes)
    assert x.shape == (5, 3, 32, 32)
    assert np.array_equal(y, data[:, :label_bytes])
    assert x[2, 1, 3, 4] == data[2, label_bytes + 1024 + 3 * 32 + 4]
    for wrong in (b"", data.tobytes()[:-1], b"\x80\x04pickle"):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match="not the binary version"):
            read_cifar(path, label_bytes)


def archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def test_unpack_takes_known_files_only(tmp_path):
    source = archive(
        tmp_path / "a.tar.gz",
        [
            ("../../evil.bin", b"evil"),
            ("cifar/readme.html", b"hello"),
            ("cifar/a.bin", None),  # a link instead of the file
            ("/abs/../cifar/a.bin", b"A" * 1000),
            ("cifar/b.bin", b"B" * 10),
        ],
    )
    unpack(source, tmp_path / "out", {"a.bin": 1000, "b.bin": 10})
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.bin", "b.bin"]
    assert (tmp_path / "out" / "a.bin").read_bytes() == b"A" * 1000
    assert not (tmp_path / "evil.bin").exists()
    assert not (tmp_path.parent / "evil.bin").exists()


def test_unpack_refuses(tmp_path):
    out = tmp_path / "out"
    source = archive(tmp_path / "a.tar.gz", [("a.bin", b"A" * 1001)])
    with pytest.raises(ValueError, match="at most 1,000 bytes, got 1,001"):
        unpack(source, out, {"a.bin": 1000})
    with pytest.raises(ValueError, match=r"expected b\.bin in .*not in it"):
        unpack(source, out, {"b.bin": 10})
    whole = source.read_bytes()
    noise = np.random.default_rng(0).bytes(5000)
    whole = archive(source, [("a.bin", noise)]).read_bytes()
    for bad in (whole[:-30], whole[: len(whole) // 2], whole[:20], b"", b"no archive at all"):
        source.write_bytes(bad)
        with pytest.raises(ValueError, match=r"\[cifar\] expected"):
            unpack(source, out, {"a.bin": 5000, "b.bin": 1})
    assert not list(out.glob("*.part")) + list(out.glob(".*"))

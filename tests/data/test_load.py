import io
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from ranvier import data
from ranvier.data.folder import read_npz

RNG = np.random.default_rng(0)


def test_digits_by_name():
    parts = data.load("digits", size=16)
    assert [len(part) for part in parts] == [1197, 240, 360]
    assert parts.test.sample_shape == (1, 16, 16)
    assert data.load("Digits").train.sample_shape == (1, 8, 8)
    assert data.available() == ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100")


@pytest.mark.parametrize(
    ("name", "meant"), [("minst", "mnist"), ("fashon-mnist", "fashion_mnist"), ("CIFAR", "cifar10")]
)
def test_unknown_names_suggest(name, meant):
    with pytest.raises(ValueError, match=rf"got {name!r} - did you mean '{meant}'\?"):
        data.load(name)


def test_unknown_names_without_a_neighbour():
    with pytest.raises(ValueError, match=r"\[data\] expected one of digits, .*got 'imagenet'$"):
        data.load("imagenet")


def test_paths_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no .*missing\.npz"):
        data.load(tmp_path / "missing.npz")
    with pytest.raises(FileNotFoundError, match="no some/folder"):
        data.load("some/folder")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"a folder of class folders or an \.npz file"):
        data.load(tmp_path / "notes.txt")


def test_named_sets_get_a_validation_part(monkeypatch):
    def fake(split, root, download, size):
        n = {"train": 300, "test": 50}[split]
        return data.ArrayDataset(np.zeros((n, 1, 2, 2)), np.arange(n) % 10)

    monkeypatch.setitem(data._NAMED, "fashion_mnist", fake)
    for name in ("fashion_mnist", "fashion-mnist", "FashionMNIST"):
        parts = data.load(name)
        assert [len(part) for part in parts] == [270, 30, 50]
        assert np.bincount(parts.validation.y).tolist() == [3] * 10


# -------------------------------------------------------------------------------------------- .npz


def save(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def pictures(n, *shape):
    return RNG.integers(0, 256, (n, *shape), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((8, 8), (1, 8, 8)), ((8, 6, 3), (3, 8, 6)), ((3, 8, 6), (3, 8, 6)), ((20,), (20,))],
)
def test_npz_shapes(tmp_path, shape, expected):
    x = pictures(40, *shape)
    path = save(tmp_path / "a.npz", x_train=x, y_train=np.arange(40) % 4)
    parts = data.load(path)
    assert [len(part) for part in parts] == [32, 4, 4]
    assert parts.train.sample_shape == expected
    assert parts.train.divisor == 255
    whole, _ = parts.train.arrays()
    assert whole.dtype == np.float32
    assert whole.max() <= 1
    if shape == (8, 6, 3):
        y = parts.train.y
        assert len(y) == 32
        assert any(np.array_equal(parts.train.x[0], p.transpose(2, 0, 1)) for p in x)


def test_npz_parts_that_are_there_are_used(tmp_path):
    x = pictures(20, 4, 4)
    path = save(
        tmp_path / "keras.npz",
        x_train=x,
        y_train=(np.arange(20) % 2)[:, None].astype(np.uint8),  # Keras keeps a second axis
        x_val=x[:5],
        y_val=np.zeros(5, int),
        x_test=x[5:12],
        y_test=np.ones(7, int),
        classes=np.array(["no", "yes"]),
    )
    parts = data.load(path, size=8)
    assert [len(part) for part in parts] == [20, 5, 7]
    assert parts.train.y.tolist() == [0, 1] * 10
    assert parts.train.y.dtype == np.int64
    assert parts.train.classes == ("no", "yes")
    assert parts.train.sample_shape == (1, 8, 8)
    assert data.load(save(tmp_path / "b.npz", x=x, y=np.arange(20) % 2)).train.x.shape[0] == 16


def test_npz_class_names_and_regression(tmp_path):
    x = RNG.normal(size=(30, 5))
    path = save(tmp_path / "t.npz", x_train=x, y_train=np.array(["b", "a", "c"] * 10))
    parts = data.load(path)
    assert parts.train.classes == ("a", "b", "c")
    assert parts.train.y.dtype == np.int64
    assert parts.train.x.dtype == np.float32
    assert parts.train.divisor is None
    path = save(tmp_path / "r.npz", x=x, y=x.sum(1))
    parts = data.load(path)
    assert parts.train.y.dtype == np.float32
    assert sum(len(part) for part in parts) == 30


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": 1}, r"x_train and y_train .*got a$"),
        ({"x_train": np.zeros((4, 2))}, "expected y_train beside x_train"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(3)}, "as many targets as inputs"),
        ({"x": np.zeros((4, 2), complex), "y": np.zeros(4)}, "real numbers as inputs, got complex"),
        ({"x": np.array([["a"]] * 4), "y": np.zeros(4)}, "real numbers as inputs, got <U1"),
        (
            {
                "x": np.zeros((40, 2)),
                "y": np.zeros(40),
                "x_test": np.zeros((4, 3)),
                "y_test": np.zeros(4),
            },
            r"shape \(2,\) as in the training part, got \(3,\) in the test part",
        ),
        ({"x": np.zeros((4, 2)), "y": np.array([0, -1, 0, 0])}, "class numbers >= 0, got -1"),
        (
            {"x": np.zeros((4, 2)), "y": np.array([0, 1, 2, 3]), "classes": np.array(["a"])},
            "below 1, got 3",
        ),
        (
            {
                "x": np.zeros((9, 2)),
                "y": np.array(["a"] * 9),
                "x_test": np.zeros((1, 2)),
                "y_test": np.array(["z"]),
            },
            "targets among a, got 'z'",
        ),
        ({"x": np.zeros((2, 2)), "y": np.zeros(2, int)}, "enough samples to cut off"),
    ],
)
def test_npz_that_does_not_fit(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        data.load(save(tmp_path / "x.npz", **arrays))


def test_npz_size_needs_pictures(tmp_path):
    path = save(tmp_path / "x.npz", x=np.zeros((40, 2)), y=np.zeros(40, int))
    with pytest.raises(ValueError, match="pictures to resize"):
        data.load(path, size=8)


def test_npz_pickles_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    with pytest.raises(ValueError, match=r"Python objects \(a pickle\) in x\.npy"):
        data.load(path)


def entry(header, body, path, name="x.npy", kind=zipfile.ZIP_DEFLATED):
    text = header.encode() + b"\n"
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr(name, b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body)
    return path


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("{'descr':'<f8','fortran_order':False,'shape':(1000000000000,)}", "8,000,000,000,000"),
        ("{'descr':'<f8','fortran_order':False,'shape':(3,)}", "expected 24 bytes"),
        ("{'descr':'<f8','fortran_order':False,'shape':(-4,)}", "expected -32 bytes"),
        ("{'descr':'|O','fortran_order':False,'shape':(2,)}", "a pickle"),
        ("not a header", "expected an array"),
    ],
)
def test_npz_headers_are_held_against_the_file(tmp_path, header, message):
    path = entry(header, bytes(16), tmp_path / "x.npz")
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            read_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_damaged_npz(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=RNG.normal(size=1000))
    whole = path.read_bytes()
    flipped = whole[:300] + bytes([whole[300] ^ 1]) + whole[301:]
    for bad in (b"", b"PK", whole[:-10], whole[: len(whole) // 2], flipped):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=r"\[data\] expected"):
            read_npz(path)
    path.write_bytes(b"")
    entry("{'descr':'<f8','fortran_order':False,'shape':(2,)}", bytes(16), path)
    assert read_npz(path)["x"].tolist() == [0, 0]
    entry("", b"", path, kind=zipfile.ZIP_BZIP2)
    with pytest.raises(ValueError, match="stored or deflated"):
        read_npz(path)


def test_read_npz_returns_what_was_saved(tmp_path):
    arrays = {
        "a": RNG.normal(size=(3, 4)),
        "b": np.asfortranarray(RNG.normal(size=(3, 4))),
        "c": np.array(7),
        "d": np.zeros((0, 5), np.int16),
        "e": np.array(["x", "yz"]),
        "f": np.arange(6, dtype=">i4"),
    }
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "x.npz", **arrays)
        got = read_npz(tmp_path / "x.npz")
        assert got.keys() == arrays.keys()
        for name, array in arrays.items():
            assert got[name].dtype == array.dtype
            assert got[name].shape == array.shape
            assert np.array_equal(got[name], array)
    assert list(read_npz(tmp_path / "x.npz", ["c", "nothing"])) == ["c"]


# ------------------------------------------------------------------------------- picture folders


@pytest.fixture
def image():
    return pytest.importorskip("PIL.Image")


def paint(image, path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.fromarray(pixels).save(path)


def fill(image, root, classes=("cat", "dog"), n=10, shape=(6, 5)):
    stored = {}
    for name in classes:
        for i in range(n):
            stored[name, i] = pictures(1, *shape)[0]
            paint(image, root / name / f"{i:02d}.png", stored[name, i])
    return stored


def test_folder_of_class_folders(tmp_path, image):
    stored = fill(image, tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden").mkdir()
    parts = data.load(tmp_path)
    assert [len(part) for part in parts] == [16, 2, 2]
    assert parts.train.classes == ("cat", "dog")
    assert parts.train.x.dtype == np.uint8
    assert parts.train.sample_shape == (1, 6, 5)
    for part in parts:
        assert set(part.y.tolist()) == {0, 1}
        for x, y in zip(part.x, part.y, strict=True):
            own = [p for (name, _), p in stored.items() if name == ("cat", "dog")[y]]
            assert any(np.array_equal(x[0], p) for p in own)


def test_folder_with_parts_and_colour(tmp_path, image):
    fill(image, tmp_path / "train", shape=(6, 5, 3))
    fill(image, tmp_path / "val", n=2, shape=(6, 5, 3))
    stored = fill(image, tmp_path / "test", classes=("dog",), n=3, shape=(6, 5, 3))
    parts = data.load(tmp_path)
    assert [len(part) for part in parts] == [20, 4, 3]
    assert parts.test.y.tolist() == [1, 1, 1]
    assert np.array_equal(parts.test.x[0], stored["dog", 0].transpose(2, 0, 1))
    assert data.load(tmp_path, channels=1).train.sample_shape == (1, 6, 5)
    fill(image, tmp_path / "test", classes=("bird",), n=1, shape=(6, 5, 3))
    with pytest.raises(ValueError, match=r"the classes of .*got bird besides"):
        data.load(tmp_path)


def test_folder_sizes(tmp_path, image):
    fill(image, tmp_path)
    paint(image, tmp_path / "cat" / "large.png", pictures(1, 60, 50)[0])
    with pytest.raises(ValueError, match=r"6 x 5 .* and 60 x 50 .*large\.png.* - pass size="):
        data.load(tmp_path)
    assert data.load(tmp_path, size=(12, 10)).train.sample_shape == (1, 12, 10)
    assert data.load(tmp_path, size=7, channels=3).train.sample_shape == (3, 7, 7)


def test_folder_modes(tmp_path, image):
    deep = (np.arange(30).reshape(6, 5) * 2000).astype(np.uint16)
    for name in ("a", "b", "c"):
        paint(image, tmp_path / "x" / f"{name}.png", deep)
    (tmp_path / "y").mkdir()
    for i in range(3):
        image.fromarray(pictures(1, 6, 5, 4)[0], "RGBA").save(tmp_path / "y" / f"{i}.png")
    parts = data.load(tmp_path)
    assert parts.train.sample_shape == (3, 6, 5)  # one picture has colour
    grey = data.load(tmp_path, channels=1)
    sixteen = grey.train.x[grey.train.y == 0][0, 0]
    assert np.array_equal(sixteen, deep >> 8)


def test_folder_problems(tmp_path, image):
    with pytest.raises(ValueError, match="without subfolders"):
        data.load(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(ValueError, match="without pictures"):
        data.load(tmp_path)
    fill(image, tmp_path)
    with pytest.raises(ValueError, match="channels 1 or 3, got 4"):
        data.load(tmp_path, channels=4)
    (tmp_path / "cat" / "zz.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"expected a picture, got .*zz\.png"):
        data.load(tmp_path)
    buffer = io.BytesIO()
    image.fromarray(pictures(1, 6, 5)[0]).save(buffer, "PNG")
    (tmp_path / "cat" / "zz.png").write_bytes(buffer.getvalue()[:60])  # header fine, pixels cut
    with pytest.raises(ValueError, match=r"expected a picture, got .*zz\.png"):
        data.load(tmp_path)


def test_huge_pictures_are_refused(tmp_path, image, monkeypatch):
    fill(image, tmp_path, shape=(60, 50))
    monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match="expected a picture"):
        data.load(tmp_path)


def test_without_pillow(tmp_path, image, monkeypatch):
    fill(image, tmp_path, n=1)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'ranvier\[image\]'"):
        data.load(tmp_path)

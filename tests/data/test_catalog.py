import errno
import gzip
import hashlib
import http.server
import io
import logging
import os
import re
import struct
import sys
import tarfile
import threading

import numpy as np
import pytest

from ranvier import data
from ranvier.data import catalog, download, names

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A cache of its own, and no way to the network."""
    monkeypatch.setenv("RANVIER_HOME", str(tmp_path / "cache"))
    for name in ("RANVIER_DATA", "RANVIER_MIRROR", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    nowhere = "http://127.0.0.1:1/"  # refused at once
    for name in ("_MNIST", "_FASHION"):
        kind = getattr(catalog, name)
        monkeypatch.setattr(catalog, name, replace(kind, mirrors=(nowhere, nowhere + "b/")))
    monkeypatch.setattr(catalog, "_CIFAR_MIRRORS", (nowhere,))
    return tmp_path


def replace(kind, **changes):
    from dataclasses import replace as change

    return change(kind, **changes)


def idx_bytes(array):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def mnist_like(n=20, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
    return x, (np.arange(n) % 10).astype(np.uint8)


def write_idx(folder, part="train", n=20, packed=True, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    x, y = mnist_like(n, seed)
    prefix = {"train": "train", "test": "t10k"}[part]
    for what, array in (("images-idx3", x), ("labels-idx1", y)):
        content = idx_bytes(array)
        name = f"{prefix}-{what}-ubyte"
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return x, y


def cifar_files(label_bytes=1, n=4):
    """Name -> bytes, of a small set."""
    rng = np.random.default_rng(label_bytes)
    files = (
        [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
        if label_bytes == 1
        else ["train.bin", "test.bin"]
    )
    contents = {}
    for name in files:
        records = rng.integers(0, 256, (n, label_bytes + 3072), dtype=np.uint8)
        records[:, :label_bytes] %= 10
        contents[name] = records.tobytes()
    return contents


def pack(path, folder, contents):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def official(file, content):
    """The description of a file, with the facts of a stand-in."""
    return download.RemoteFile(file.name, len(content), hashlib.sha256(content).hexdigest())


# ------------------------------------------------------------------------------------ local files


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", ["root", "root/mnist", "RANVIER_DATA", "cache", "torchvision"])
def test_mnist_is_found_where_it_may_lie(places, monkeypatch, place, packed):
    root = None
    if place == "root":
        folder = root = places / "here"
    elif place == "root/mnist":
        root = places / "here"
        folder = root / "mnist"
    elif place == "RANVIER_DATA":
        monkeypatch.setenv("RANVIER_DATA", str(places / "shelf"))
        folder = places / "shelf" / "mnist"
    elif place == "torchvision":
        monkeypatch.setenv("RANVIER_DATA", str(places / "shelf"))
        folder = places / "shelf" / "MNIST" / "raw"
    else:
        folder = places / "cache" / "mnist"
    x, y = write_idx(folder, packed=packed)
    got = data.mnist("train", root=root)
    assert np.array_equal(got.x[:, 0], x)
    assert got.y.dtype == np.int64
    assert np.array_equal(got.y, y)
    pictures, _ = got.batch(np.arange(3))
    assert pictures.dtype == np.float32
    assert np.array_equal(pictures[:, 0], x[:3].astype(np.float32) / np.float32(255))
    assert got.classes == names.DIGITS


def test_dotted_names_too(places):
    x, _ = write_idx(places / "d", packed=False)
    for path in (places / "d").iterdir():
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert np.array_equal(data.mnist(root=places / "d").x[:, 0], x)


def test_a_shelf_never_serves_one_set_for_another(places, monkeypatch):
    write_idx(places / "shelf")  # whose? MNIST and Fashion-MNIST use the same names
    monkeypatch.setenv("RANVIER_DATA", str(places / "shelf"))
    for load in (data.mnist, data.fashion_mnist):
        with pytest.raises(FileNotFoundError):
            load(download=False)
    write_idx(places / "shelf" / "fashion_mnist", seed=1)
    assert data.fashion_mnist().classes == names.FASHION
    with pytest.raises(FileNotFoundError):
        data.mnist(download=False)


def test_a_smaller_set_is_used_and_said(places, caplog):
    write_idx(places / "d", "test", n=7)
    with caplog.at_level(logging.WARNING, "ranvier"):
        assert len(data.mnist("test", root=places / "d")) == 7
    assert "7 samples, the published set has 10000" in caplog.text


def test_size(places):
    write_idx(places / "d")
    small = data.mnist(root=places / "d", size=14)
    assert small.x.shape == (20, 1, 14, 14)
    assert small.x.dtype == np.uint8
    assert small.divisor == 255


def test_damaged_local_files(places):
    folder = places / "d"
    write_idx(folder, packed=False)
    labels = folder / "train-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(np.arange(19, dtype=np.uint8) % 10))
    with pytest.raises(ValueError, match="as many labels as images, got 19 and 20"):
        data.mnist(root=folder)
    labels.write_bytes(idx_bytes(np.full(20, 10, np.uint8)))
    with pytest.raises(ValueError, match=r"\[mnist\] expected labels below 10, got 10"):
        data.mnist(root=folder)
    (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((20, 32, 32), np.uint8)))
    with pytest.raises(ValueError, match=r"shape \('N', 28, 28\), got uint8 \(20, 32, 32\)"):
        data.mnist(root=folder)
    (folder / "train-images-idx3-ubyte").write_bytes(b"<html>")
    with pytest.raises(ValueError, match="IDX header"):
        data.mnist(root=folder)


@pytest.mark.parametrize("load", [data.mnist, data.fashion_mnist, data.cifar10, data.cifar100])
def test_unknown_part(load):
    with pytest.raises(ValueError, match="expected split train or test, got 'validation'"):
        load("validation")


@pytest.mark.parametrize("place", ["bare", "folder", "archive", "deep"])
def test_cifar10_is_found_where_it_may_lie(places, place):
    contents = cifar_files()
    root = places / "d"
    if place == "archive":
        pack(root / "cifar-10-binary.tar.gz", "cifar-10-batches-bin", contents)
    else:
        folder = {
            "bare": root,
            "folder": root / "cifar-10-batches-bin",
            "deep": root / "cifar10" / "cifar-10-batches-bin",
        }[place]
        folder.mkdir(parents=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    train, test = data.cifar10("train", root=root), data.cifar10("test", root=root)
    assert train.x.shape == (20, 3, 32, 32)
    assert test.x.shape == (4, 3, 32, 32)
    raw = np.frombuffer(contents["data_batch_2.bin"], np.uint8).reshape(4, 3073)
    assert np.array_equal(train.x[4:8].reshape(4, -1), raw[:, 1:])
    assert np.array_equal(train.y[4:8], raw[:, 0])
    assert train.classes == names.CIFAR10
    if place == "archive":  # unpacked into the cache; the folder is left as it was
        assert [p.name for p in root.iterdir()] == ["cifar-10-binary.tar.gz"]
        assert (places / "cache" / "cifar10" / "cifar-10-batches-bin" / "test_batch.bin").exists()


def test_cifar100_has_two_labels(places):
    contents = cifar_files(2)
    pack(places / "d" / "cifar-100-binary.tar.gz", "cifar-100-binary", contents)
    raw = np.frombuffer(contents["train.bin"], np.uint8).reshape(4, 3074)
    fine = data.cifar100(root=places / "d")
    coarse = data.cifar100(root=places / "d", labels="coarse")
    assert fine.y.tolist() == raw[:, 1].tolist()
    assert coarse.y.tolist() == raw[:, 0].tolist()
    assert len(fine.classes) == 100
    assert len(coarse.classes) == 20
    with pytest.raises(ValueError, match="fine or coarse"):
        data.cifar100(labels="medium")


def test_the_python_version_of_cifar_is_never_opened(places):
    root = places / "d" / "cifar-10-batches-py"
    root.mkdir(parents=True)
    (root / "data_batch_1").write_bytes(b"\x80\x04.")
    with pytest.raises(FileNotFoundError, match="a pickle, is never read"):
        data.cifar10(root=places / "d", download=False)


# ---------------------------------------------------------------------------------------- download


class Server:
    """Serves bytes by path on this machine and counts the requests."""

    def __init__(self):
        self.files, self.requests = {}, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                content = outer.files.get(self.path)
                if content is None:
                    self.send_error(503, "Service Unavailable")
                    return
                content, promised = content if isinstance(content, tuple) else (content, None)
                self.send_response(200)
                self.send_header("Content-Length", str(promised or len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def server():
    it = Server()
    yield it
    it.stop()


def serve_mnist(monkeypatch, server, prefix="/a/", wrong=()):
    """MNIST's four files with other contents; the facts in the catalogue are made to agree."""
    files, contents = {}, {}
    for part, n in (("train", 20), ("test", 10)):
        x, y = mnist_like(n)
        for what, array in (("images", x), ("labels", y)):
            file = catalog._MNIST.files[part, what]
            contents[file.name] = gzip.compress(idx_bytes(array))
            files[part, what] = official(file, contents[file.name])
            if file.name not in wrong:
                server.files[prefix + file.name] = contents[file.name]
    return files, contents


def use(monkeypatch, **changes):
    monkeypatch.setattr(catalog, "_MNIST", replace(catalog._MNIST, **changes))


def test_the_second_mirror_helps_and_the_cache_remembers(places, monkeypatch, server):
    files, contents = serve_mnist(monkeypatch, server, "/b/")
    use(monkeypatch, files=files, mirrors=(server.address + "/a/", server.address + "/b/"))
    got = data.mnist("train")
    assert np.array_equal(got.x[:, 0], mnist_like(20)[0])
    assert server.requests == [
        f"/{mirror}/train-{what}-ubyte.gz"
        for what in ("images-idx3", "labels-idx1")
        for mirror in "ab"
    ]
    folder = places / "cache" / "mnist"
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        name for name in contents if name.startswith("train")
    )
    server.requests.clear()
    assert len(data.mnist("train")) == 20
    assert not server.requests


def test_a_given_root_receives_the_files(places, monkeypatch, server):
    files, _ = serve_mnist(monkeypatch, server)
    use(monkeypatch, files=files, mirrors=(server.address + "/a/",))
    data.mnist("test", root=places / "mine")
    assert len(list((places / "mine" / "mnist").iterdir())) == 2
    assert not (places / "cache").exists()


def test_damaged_downloads_are_refused_and_leave_nothing(places, monkeypatch, server):
    files, contents = serve_mnist(monkeypatch, server)
    name = "train-images-idx3-ubyte.gz"
    good = contents[name]
    flipped = bytes([*good[:50], good[50] ^ 1, *good[51:]])
    server.files = {
        "/short/" + name: good[:-1],
        "/long/" + name: good + b"!",
        "/flipped/" + name: flipped,
        "/broken/" + name: (good[:100], len(good)),  # the connection ends early
    }
    mirrors = tuple(f"{server.address}/{kind}/" for kind in ("short", "long", "flipped", "broken"))
    use(monkeypatch, files=files, mirrors=mirrors)
    with pytest.raises(FileNotFoundError) as caught:
        data.mnist("train")
    message = str(caught.value)
    assert "\n" not in message
    for reason in ("bytes instead of", "more than the expected", "SHA-256", "/broken/"):
        assert reason in message
    assert list((places / "cache" / "mnist").iterdir()) == []
    server.files["/flipped/" + name] = good
    server.files["/flipped/train-labels-idx1-ubyte.gz"] = contents["train-labels-idx1-ubyte.gz"]
    assert len(data.mnist("train")) == 20


def test_an_endless_answer_is_cut_off(places, monkeypatch, server):
    files, _ = serve_mnist(monkeypatch, server)
    server.files["/a/train-images-idx3-ubyte.gz"] = bytes(5_000_000)
    use(monkeypatch, files=files, mirrors=(server.address + "/a/",))
    with pytest.raises(FileNotFoundError, match="more than the expected"):
        data.mnist("train")


def test_own_mirror_is_asked_first(places, monkeypatch, server):
    files, contents = serve_mnist(monkeypatch, server, "/teacher/mnist/")
    use(monkeypatch, files=files)
    monkeypatch.setenv("RANVIER_MIRROR", server.address + "/teacher/")
    assert len(data.mnist("test")) == 10
    # A folder is a mirror as well.
    folder = places / "share" / "mnist"
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    monkeypatch.setenv("RANVIER_MIRROR", (places / "share").as_uri())
    server.requests.clear()
    assert len(data.mnist("train")) == 20
    assert not server.requests


def test_offline_says_what_was_tried_and_what_to_do(places, monkeypatch):
    monkeypatch.setenv("RANVIER_DATA", str(places / "shelf"))
    with pytest.raises(FileNotFoundError) as caught:
        data.mnist(root=places / "mine")
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "[mnist] expected the file train-images-idx3-ubyte.gz",
        str(places / "mine" / "mnist"),
        str(places / "shelf" / "mnist"),
        f"put the file into {places / 'cache' / 'mnist'} by hand",
        "set RANVIER_DATA",
        "tried http://127.0.0.1:1/train-images-idx3-ubyte.gz (",
        "http://127.0.0.1:1/b/train-images-idx3-ubyte.gz (",
        "refused",
    ):
        assert part in message
    with pytest.raises(FileNotFoundError) as caught:
        data.mnist(download=False)
    assert "tried" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_said_at_once(places, monkeypatch, server):
    files, _ = serve_mnist(monkeypatch, server)
    use(monkeypatch, files=files, mirrors=(server.address + "/",))
    (places / "file").write_text("")
    monkeypatch.setenv("RANVIER_HOME", str(places / "file"))
    with pytest.raises(FileNotFoundError) as caught:
        data.mnist()
    message = str(caught.value)
    assert "name a folder that can be written by RANVIER_HOME" in message
    assert message.endswith(
        f"nothing can be written to {places / 'file' / 'mnist'}: Not a directory"
    )
    with pytest.raises(FileNotFoundError, match="written by root=, or set RANVIER_DATA"):
        data.mnist(root=places / "file")
    assert not server.requests


def test_a_full_disk_ends_the_search(places, monkeypatch, server):
    files, _ = serve_mnist(monkeypatch, server)
    use(monkeypatch, files=files, mirrors=(server.address + "/a/", server.address + "/b/"))

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("ranvier.data.download.os.replace", full)
    with pytest.raises(OSError, match=r"No space left on device: train-images.* MB: .*mnist"):
        data.mnist()
    assert len(server.requests) == 1
    assert list((places / "cache" / "mnist").iterdir()) == []


def test_cifar_is_fetched_unpacked_and_the_archive_removed(places, monkeypatch, server):
    contents = cifar_files()
    pack(places / "a.tar.gz", "cifar-10-batches-bin", contents)
    content = (places / "a.tar.gz").read_bytes()
    server.files["/cifar-10-binary.tar.gz"] = content
    kind = replace(catalog._CIFAR10, archive=official(catalog._CIFAR10.archive, content))
    monkeypatch.setattr(catalog, "_CIFAR10", kind)
    monkeypatch.setattr(catalog, "_CIFAR_MIRRORS", (server.address + "/",))
    assert len(data.cifar10()) == 20
    assert len(data.cifar10("test")) == 4
    assert len(server.requests) == 1
    files = [p.name for p in (places / "cache").rglob("*") if p.is_file()]
    assert sorted(files) == sorted(contents)


def test_progress_without_tqdm(places, monkeypatch, server, caplog):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    files, _ = serve_mnist(monkeypatch, server)
    use(monkeypatch, files=files, mirrors=(server.address + "/a/",))
    with caplog.at_level(logging.INFO, "ranvier"):
        data.mnist("test")
    assert "fetching t10k-images-idx3-ubyte.gz" in caplog.text


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def interrupted():
        with download.replacing(target) as part:
            part.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_bytes() == b"old"
    with download.replacing(target) as part:
        part.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert os.stat(target).st_mode & 0o777 == 0o644
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RANVIER_HOME", "~/some")
    assert download.cache_folder() == tmp_path.home() / "some"
    monkeypatch.delenv("RANVIER_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data.cache_folder() == tmp_path / "ranvier"
    for ignored in ("relative/path", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert data.cache_folder() == tmp_path.home() / ".cache" / "ranvier"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data.cache_folder() == tmp_path.home() / ".cache" / "ranvier"


# --------------------------------------------------------------------------------- the catalogue


def test_the_catalogue_is_well_formed():
    assert len(names.CIFAR10) == 10
    assert len(set(names.CIFAR100_FINE)) == 100
    assert list(names.CIFAR100_FINE) == sorted(names.CIFAR100_FINE)
    assert len(set(names.CIFAR100_COARSE)) == 20
    files = [*catalog._MNIST.files.values(), *catalog._FASHION.files.values()]
    files += [catalog._CIFAR10.archive, catalog._CIFAR100.archive]
    assert len({file.sha256 for file in files}) == len(files) == 10
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in files)


def test_no_module_of_data_can_unpickle():
    folder = os.path.dirname(data.__file__)
    for name in os.listdir(folder):
        if name.endswith(".py"):
            with open(os.path.join(folder, name)) as file:
                text = file.read()
            assert not re.search(r"import pickle|pickle\.load|allow_pickle=True", text), name

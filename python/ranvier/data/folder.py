"""Datasets of your own: a folder of picture folders, or an .npz file of arrays."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dataset import ArrayDataset
from .formats import DEFLATE_LIMIT
from .splits import Splits, train_validation_test_split

_PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
_PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}


def load_path(
    path: Path,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    seed: int = 0,
) -> Splits:
    """Load a dataset from a folder of pictures or an .npz file.

    **Folder**: a subfolder for each class, whose name is the class; pictures below it. If the
    folder has a subfolder ``train`` (and perhaps ``validation`` or ``val``, ``test``) the classes
    are in there. **.npz**: ``x_train, y_train``, perhaps ``x_validation`` or ``x_val``,
    ``x_test`` with their targets, and ``classes``; or just ``x, y``.

    A part that is not there is cut off the training part: a tenth each, stratified by class.

    Args:
        path: the folder or file.
        size: height and width of the pictures; needed when they differ in size.
        channels: 1 for grey, 3 for colour; None is grey if all pictures of a folder are.
        seed: selects what is cut off.

    Returns:
        Splits(train, validation, test); pictures (N, C, H, W), byte pictures in [0, 1] when
        fetched.

    Raises:
        ValueError: not such a folder or file, damaged, or shapes that do not fit together.
        ImportError: Pillow is needed to read picture files.
    """
    if path.is_dir():
        parts = _folder_parts(path, size, channels)
    elif path.suffix == ".npz":
        parts = _npz_parts(path)
        if size is not None:
            for part in parts.values():
                if part.x.ndim != 4:
                    raise ValueError(
                        f"[data] expected pictures to resize, got inputs of shape "
                        f"{part.sample_shape} in {path}"
                    )
            parts = {name: part.resized(size) for name, part in parts.items()}
    else:
        raise ValueError(
            f"[data] expected a folder of class folders or an .npz file, got {path} - "
            "numpy.savez(path, x_train=..., y_train=...) writes one"
        )
    return _complete(parts, seed)


def _complete(parts: dict[str, ArrayDataset], seed: int) -> Splits:
    """Cut missing parts off the training part."""
    train = parts["train"]
    missing = [name for name in ("validation", "test") if name not in parts]
    if not missing:
        return Splits(train, parts["validation"], parts["test"])
    if len(train) < len(missing) + 1:
        raise ValueError(
            f"[data] expected enough samples to cut off {' and '.join(missing)}, got {len(train)}"
        )
    count = max(1, len(train) // 10)
    cut = train_validation_test_split(
        train,
        validation=count if "validation" in missing else 0,
        test=count if "test" in missing else 0,
        seed=seed,
        stratify=train.y.ndim == 1 and train.y.dtype.kind in "iu",
    )
    return Splits(cut.train, parts.get("validation", cut.validation), parts.get("test", cut.test))


# ---------------------------------------------------------------------------------------- folders


def _subfolders(folder: Path) -> dict[str, Path]:
    return {p.name: p for p in sorted(folder.iterdir()) if p.is_dir() and p.name[0] not in "._"}


def _folder_parts(
    path: Path, size: int | tuple[int, int] | None, channels: int | None
) -> dict[str, ArrayDataset]:
    if channels not in (None, 1, 3):
        raise ValueError(f"[data] expected channels 1 or 3, got {channels}")
    folders = _subfolders(path)
    roots = {
        part: folders[name] for part, names in _PARTS.items() for name in names if name in folders
    }
    if "train" not in roots:
        roots = {"train": path}
    classes = tuple(_subfolders(roots["train"]))
    files: dict[str, list[tuple[Path, int]]] = {}
    for part, root in roots.items():
        found = _subfolders(root)
        if unknown := set(found) - set(classes):
            raise ValueError(
                f"[data] expected the classes of {roots['train']} in {root}, got "
                f"{', '.join(sorted(unknown))} besides"
            )
        files[part] = [
            (file, classes.index(name))
            for name, folder in found.items()
            for file in sorted(folder.rglob("*"))
            if file.suffix.lower() in _PICTURES and file.is_file()
        ]
    if not files["train"]:
        raise ValueError(
            f"[data] expected a folder for each class with pictures in it, got {path} without "
            f"{'pictures' if classes else 'subfolders'} ({', '.join(sorted(_PICTURES))})"
        )
    everything = [file for part in files.values() for file, _ in part]
    shape, channels = _survey(everything, size, channels)
    parts = {}
    for part, entries in files.items():
        x = _read_pictures([file for file, _ in entries], shape, channels)
        y = np.array([label for _, label in entries], np.int64)
        parts[part] = ArrayDataset(x, y, classes, divisor=255, name=path.name)
    return parts


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "[data] reading picture files needs Pillow - pip install 'ranvier[image]'"
        ) from error
    return Image


def _open(file: Path) -> Any:
    image_module = _pillow()
    try:
        return image_module.open(file)
    except (OSError, ValueError, image_module.DecompressionBombError) as error:
        raise ValueError(f"[data] expected a picture, got {file}: {error}") from error


def _survey(
    files: Iterable[Path], size: int | tuple[int, int] | None, channels: int | None
) -> tuple[tuple[int, int], int]:
    """Common height and width, and whether any picture has colour; reads headers only."""
    shape = None if size is None else (size, size) if isinstance(size, int) else tuple(size)
    first: Path | None = None
    grey = True
    for file in files:
        with _open(file) as image:
            grey = grey and image.mode in ("1", "L", "LA", "I", "F", "I;16")
            here = (image.height, image.width)
        if shape is None:
            shape, first = here, file
        elif size is None and here != shape:
            raise ValueError(
                f"[data] expected pictures of one size, got {shape[0]} x {shape[1]} ({first}) and "
                f"{here[0]} x {here[1]} ({file}) - pass size= to scale them"
            )
    assert shape is not None  # there is at least one file
    return (int(shape[0]), int(shape[1])), channels or (1 if grey else 3)


def _read_pictures(files: list[Path], shape: tuple[int, int], channels: int) -> NDArray[np.uint8]:
    """Pictures as bytes (N, C, H, W); scaled, where needed, with smoothing when shrinking."""
    image_module = _pillow()
    x = np.empty((len(files), channels, *shape), np.uint8)
    for i, file in enumerate(files):
        with _open(file) as image:
            try:
                picture = _eight_bits(image, channels)
                if (picture.height, picture.width) != shape:
                    picture = picture.resize(shape[::-1], image_module.Resampling.BILINEAR)
                pixels = np.asarray(picture)
            except (OSError, ValueError, SyntaxError, image_module.DecompressionBombError) as error:
                raise ValueError(f"[data] expected a picture, got {file}: {error}") from error
        x[i] = pixels.reshape(*shape, channels).transpose(2, 0, 1)
    return x


def _eight_bits(image: Any, channels: int) -> Any:
    """Grey or RGB with 8 bits. Transparency is dropped; 16-bit grey is scaled, not clipped."""
    if image.mode.startswith("I"):
        image_module = _pillow()
        high = np.asarray(image, np.int64) >> 8
        image = image_module.fromarray(np.clip(high, 0, 255).astype(np.uint8))
    return image.convert("L" if channels == 1 else "RGB")


# ------------------------------------------------------------------------------------------- .npz


def read_npz(path: Path, names: Iterable[str] | None = None) -> dict[str, NDArray]:
    """Read arrays of an .npz file that is not trusted.

    No pickle, and no array is allocated before its header agrees with the size of its entry and
    that with what the file can hold.

    Args:
        path: the file.
        names: which arrays, where they exist; None for all.

    Raises:
        ValueError: damaged, not an .npz, object arrays, or sizes that contradict each other.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            wanted = entries if names is None else [name for name in names if name in entries]
            return {name: _read_entry(path, archive, entries[name]) for name in wanted}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"[data] expected a complete .npz file, got {path}: {error}") from error


def _read_entry(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray:
    where = f"{info.filename} in {path}"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"[data] expected a stored or deflated array, got {where}")
    if info.file_size > info.compress_size * DEFLATE_LIMIT or (
        info.compress_size > path.stat().st_size
    ):
        raise ValueError(f"[data] expected true sizes, got {info.file_size:,} bytes for {where}")
    fmt = np.lib.format
    with archive.open(info) as stream:
        try:
            version = fmt.read_magic(stream)
            read = fmt.read_array_header_1_0 if version == (1, 0) else fmt.read_array_header_2_0
            shape, fortran, dtype = read(stream)
        except ValueError as error:
            raise ValueError(f"[data] expected an array, got {where}: {error}") from error
        if dtype.hasobject:
            raise ValueError(
                f"[data] expected numbers, got Python objects (a pickle) in {where} - "
                "save it as a numeric array"
            )
        length = math.prod(shape) * dtype.itemsize
        data = bytearray()  # grows with what is there, whatever the header claims
        while block := stream.read(1 << 20):
            data += block
    if len(data) != length:
        raise ValueError(
            f"[data] expected {length:,} bytes for shape {shape} of {dtype}, got {len(data):,} "
            f"of {where}"
        )
    if length == 0:
        return np.empty(shape, dtype)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _npz_parts(path: Path) -> dict[str, ArrayDataset]:
    suffixes = {part: [f"_{name}" for name in names] for part, names in _PARTS.items()}
    suffixes["train"].append("")
    keys = [f"{v}{s}" for group in suffixes.values() for s in group for v in "xy"]
    stored = read_npz(path, [*keys, "classes"])
    classes = tuple(str(c) for c in stored["classes"]) if "classes" in stored else None
    arrays: dict[str, tuple[NDArray, NDArray]] = {}
    for part, group in suffixes.items():
        for suffix in group:
            x, y = stored.get(f"x{suffix}"), stored.get(f"y{suffix}")
            if x is not None and y is not None:
                arrays[part] = (_pictures(x), y)
                break
            if x is not None or y is not None:
                there, missing = ("x", "y") if y is None else ("y", "x")
                raise ValueError(
                    f"[data] expected {missing}{suffix} beside {there}{suffix} in {path}"
                )
    if "train" not in arrays:
        raise ValueError(
            f"[data] expected the arrays x_train and y_train (or x and y) in {path}, got "
            f"{', '.join(read_names(path)) or 'none'}"
        )
    text = arrays["train"][1].dtype.kind in "US"
    if text and classes is None:
        classes = tuple(np.unique(arrays["train"][1]).astype(str).tolist())
    shape = arrays["train"][0].shape[1:]
    parts = {}
    for part, (x, y) in arrays.items():
        if x.shape[1:] != shape:
            raise ValueError(
                f"[data] expected inputs of shape {shape} as in the training part, got "
                f"{x.shape[1:]} in the {part} part of {path}"
            )
        if x.dtype.kind not in "biuf":
            raise ValueError(f"[data] expected real numbers as inputs, got {x.dtype} in {path}")
        divisor = 255 if x.dtype == np.uint8 else None
        x = x if divisor else x.astype(np.float32, copy=False)
        parts[part] = ArrayDataset(x, _targets(y, classes, path), classes, divisor, path.stem)
    return parts


def read_names(path: Path) -> list[str]:
    """Names of the arrays in an .npz file."""
    with zipfile.ZipFile(path) as archive:
        return sorted(name.removesuffix(".npy") for name in archive.namelist())


def _pictures(x: NDArray) -> NDArray:
    """Inputs as (N, C, H, W) where they look like pictures; vectors stay vectors."""
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4 and x.shape[3] in (1, 3) and x.shape[1] not in (1, 3):
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return x


def _targets(y: NDArray, classes: tuple[str, ...] | None, path: Path) -> NDArray:
    """Class numbers as int64 (N,), class names looked up, anything else float32 as it is."""
    if y.ndim == 2 and y.shape[1] == 1 and y.dtype.kind in "iubUS":
        y = y[:, 0]
    if y.dtype.kind in "US":
        assert classes is not None
        lookup = {name: number for number, name in enumerate(classes)}
        names = y.astype(str).tolist()
        if unknown := sorted(set(names) - set(lookup)):
            raise ValueError(
                f"[data] expected targets among {', '.join(classes)}, got {unknown[0]!r} in {path}"
            )
        return np.array([lookup[name] for name in names], np.int64)
    if y.dtype.kind in "iub":
        y = y.astype(np.int64)
        if y.size and y.min() < 0:
            raise ValueError(f"[data] expected class numbers >= 0, got {y.min()} in {path}")
        if classes is not None and y.size and y.max() >= len(classes):
            raise ValueError(
                f"[data] expected class numbers below {len(classes)}, got {y.max()} in {path}"
            )
        return y
    return y.astype(np.float32, copy=False)

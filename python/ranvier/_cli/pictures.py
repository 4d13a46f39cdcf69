"""From a picture file of any size to one input of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ranvier.data.affine import resize

from .datasets import STROKES, Preparation

_CONTRAST = 0.1  # strokes must differ from the background by at least this, of 0 to 1
_INK = 0.25  # what counts as stroke when they are cut out, of the strongest one


def read(path: str, prepare: Preparation, invert: bool | None = None) -> tuple[np.ndarray, str]:
    """Read a picture as the model wants it.

    Args:
        path: the file.
        prepare: how the model's inputs were prepared.
        invert: exchange dark and bright; None: by the rule, see `strokes`.

    Returns:
        The input, shape (1, C, H, W), and what was done to the picture, in words.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no picture, nothing on it, or a model of other things than pictures.
        ImportError: Pillow is not installed; the text says how to get it.
    """
    if prepare.kind == "vector" or len(prepare.input) != 3 or prepare.input[0] not in (1, 3):
        raise ValueError(
            f"[predict] expected a model of pictures, got one of inputs of shape {prepare.input} - "
            "use ranvier.train.predict with arrays"
        )
    pixels = _pixels(path, prepare.input[0])
    done = [f"{pixels.shape[2]} x {pixels.shape[1]} pixels"]
    if prepare.kind == "strokes":
        grey, inverted = strokes(pixels[0], invert, path)
        if inverted:
            done.append("inverted")
        edge, fill = STROKES[prepare.data]
        pixels = place(grey, edge, fill)[None]
        done.append(f"strokes fitted to {edge} x {edge}")
    elif invert:
        pixels = 1.0 - pixels
        done.append("inverted")
    size = (prepare.input[1], prepare.input[2])
    if pixels.shape[1:] != size:
        pixels = _shrink(pixels, size)
    x = resize(pixels[None].astype(np.float32), size)
    return prepare.standardize(x), ", ".join(done)


def _pixels(path: str, channels: int) -> np.ndarray:
    """(C, H, W) in [0, 1]; what is transparent becomes white."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            "[predict] reading pictures needs Pillow: pip install 'ranvier[cli]'"
        ) from None
    if not Path(path).is_file():
        found = "a folder" if Path(path).is_dir() else "nothing"
        raise FileNotFoundError(f"[predict] expected a picture file, got {found} at {path!r}")
    try:
        with Image.open(path) as file:
            picture: Any = file
            if picture.mode.startswith("I") or picture.mode == "F":  # 16 and 32 bits
                values = np.asarray(picture, np.float64)
                span = float(values.max() - values.min()) or 1.0
                grey = (values - values.min()) / span
                return np.repeat(grey[None], channels, 0)
            if "A" in picture.getbands() or "transparency" in picture.info:
                rgba = picture.convert("RGBA")
                picture = Image.new("RGBA", rgba.size, "white")
                picture.alpha_composite(rgba)
            mode = "L" if channels == 1 else "RGB"
            values = np.asarray(picture.convert(mode), np.float64) / 255.0
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"[predict] expected a picture, got {path!r}: {error} - is it a PNG, JPEG, BMP, GIF, "
            "WebP or TIFF file?"
        ) from None
    return values.reshape(*values.shape[:2], channels).transpose(2, 0, 1)


def strokes(grey: np.ndarray, invert: bool | None, path: str) -> tuple[np.ndarray, bool]:
    """Bright strokes on black from a picture of strokes on any plain background.

    The background is the median of the border. Where it is brighter than middle grey, the picture
    is inverted. Then the background becomes 0 and the strongest stroke 1.

    Args:
        grey: (H, W) in [0, 1].
        invert: whether to invert; None: by the background.
        path: the file, for errors.

    Returns:
        The strokes and whether the picture was inverted.

    Raises:
        ValueError: nothing stands out from the background.
    """
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    background = float(np.median(border))
    inverted = background > 0.5 if invert is None else invert
    if inverted:
        grey, background = 1.0 - grey, 1.0 - background
    strongest = float(grey.max())
    if strongest - background < _CONTRAST:
        raise ValueError(
            f"[predict] expected strokes that stand out, got {path!r}, which is nearly uniform"
            + ("" if invert is None else " that way - leave out --invert and --no-invert")
        )
    return np.clip((grey - background) / (strongest - background), 0.0, 1.0), inverted


def place(ink: np.ndarray, edge: int, fill: int) -> np.ndarray:
    """Cut strokes out and centre them: the longer side becomes `fill` of `edge` pixels.

    The strokes are drawn eight times as large first and averaged, so that they keep their
    place between the pixels.

    Returns:
        (edge, edge) in [0, 1].
    """
    fine = 8
    rows = np.flatnonzero((ink > _INK).any(1))
    columns = np.flatnonzero((ink > _INK).any(0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    factor = fill * fine / max(cut.shape)
    height, width = (max(1, round(side * factor)) for side in cut.shape)
    cut = _shrink(cut[None], (height, width))
    cut = resize(cut[None].astype(np.float32), (height, width))[0, 0]
    canvas = np.zeros((edge * fine, edge * fine), np.float32)
    top, left = (canvas.shape[0] - height) // 2, (canvas.shape[1] - width) // 2
    canvas[top : top + height, left : left + width] = cut
    return canvas.reshape(edge, fine, edge, fine).mean((1, 3))


def _shrink(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Average blocks of pixels where a picture is at least twice too large: none is skipped."""
    for axis, wanted in ((1, size[0]), (2, size[1])):
        if pixels.shape[axis] < 2 * wanted:
            continue
        edges = np.linspace(0, pixels.shape[axis], wanted + 1).astype(int)
        sums: Any = np.add.reduceat(pixels, edges[:-1], axis)
        pixels = sums / np.diff(edges).reshape((-1, 1) if axis == 1 else (1, -1))
    return pixels

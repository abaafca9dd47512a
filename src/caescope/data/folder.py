"""A folder of image files; its sub-folders, when there are any, are the classes."""

import logging
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from caescope.data.sources import ArraySource
from caescope.errors import DataError, FileFormatError
from caescope.files import decoding

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")

# Pillow logs what it also raises; without a handler that would end up on the user's screen.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_GREY = ("1", "L", "I", "I;16", "I;16L", "I;16B", "I;16N", "LA", "La")


def load_folder(path: str | os.PathLike) -> ArraySource:
    """Read all images of a folder.

    Parameters
    ----------
    path : path-like
        A folder of PNG, JPEG, TIFF, WebP or BMP files of one size, or of sub-folders with such files. Other
        files and hidden ones are left out; of a file with several frames the first is read.

    Returns
    -------
    ArraySource
        Images of dtype uint8: grey if every file is grey, else RGB; transparency is put on white, the EXIF
        orientation is applied, and 16-bit grey is scaled from [0, 65535] to [0, 255]. Labels are the names of
        the first sub-folders, ids the paths relative to the folder, sorted.

    Raises
    ------
    DataError
        If there is no image, or they differ in size, or some lie in classes and some do not.
    FileFormatError
        If there is no such folder, an image cannot be read or is gigantic, or a link leads out of the folder.
    """
    root = Path(path)
    if not root.is_dir():
        raise FileFormatError(f"{root} must exist", "no such folder", "Check the spelling.")
    ids = sorted(file.relative_to(root).as_posix() for file in _walk(root, root.resolve()))
    if not ids:
        raise DataError(
            f"{root} must hold images", "no image file", f"Known suffixes are {', '.join(SUFFIXES)}."
        )
    labels = _labels_of(ids, root)
    images = _stack([_read_image(root / name) for name in ids], ids, root)
    return ArraySource(images, labels, ids, name=root.resolve().name)


def _walk(folder: Path, root: Path) -> Iterator[Path]:
    """Yield the image files below ``folder``, none of them hidden, without leaving ``root``."""
    with decoding(folder, "a folder"):
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    for entry in entries:
        is_folder = entry.is_dir()
        if not is_folder and entry.suffix.lower() not in SUFFIXES:
            continue
        if entry.is_symlink():
            _demand_inner_link(entry, root)
        if is_folder:
            yield from _walk(entry, root)
        elif entry.is_file():
            yield entry


def _demand_inner_link(link: Path, root: Path) -> None:
    """Allow links to files of the same folder; links to folders could go round in circles."""
    if link.is_dir() or not Path(os.path.realpath(link)).is_relative_to(root):
        raise FileFormatError(
            "A link in a folder of images must lead to a file in that folder",
            f"the link {link} to {os.path.realpath(link)}",
            "Copy what it leads to, or give the folder that holds the files themselves.",
        )


def _labels_of(ids: list[str], root: Path) -> list[str] | None:
    loose = [name for name in ids if "/" not in name]
    if len(loose) == len(ids):
        return None
    if loose:
        raise DataError(
            f"The images of {root} must all lie in sub-folders, the classes, or all outside of them",
            f"{len(loose)} images outside, for example {loose[0]}",
            "Move them into a sub-folder of their own.",
        )
    return [PurePosixPath(name).parts[0] for name in ids]


def _read_image(path: Path) -> np.ndarray:
    """Return one file as uint8 of shape (height, width) when it is grey, else (height, width, 3)."""
    from PIL import Image, ImageOps

    with decoding(path, "a PNG, JPEG, TIFF, WebP or BMP image"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=FORMATS) as image:
            return _to_pixels(ImageOps.exif_transpose(image))


def _to_pixels(image) -> np.ndarray:
    """Convert a Pillow image of any mode."""
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is not known")
    if image.mode.startswith("I"):
        return _from_16_bit(np.asarray(image))
    grey = image.mode in _GREY
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        image = _on_white(image.convert("RGBA"))
    return np.asarray(image.convert("L" if grey else "RGB"))


def _on_white(image):
    from PIL import Image

    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _from_16_bit(values: np.ndarray) -> np.ndarray:
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("integer pixels outside [0, 65535]")
    return (values / 257).round().astype(np.uint8)


def _stack(arrays: list[np.ndarray], ids: list[str], root: Path) -> np.ndarray:
    """Join images of one size; each is let go once it is copied, so that all are in memory only once."""
    _demand_one_size(arrays, ids, root)
    channels = 3 if any(array.ndim == 3 for array in arrays) else 1
    images = np.empty((len(arrays), *arrays[0].shape[:2], channels), np.uint8)
    for i in range(len(images)):
        pixels, arrays[i] = arrays[i], arrays[0][:0]
        images[i] = pixels if pixels.ndim == 3 else pixels[..., None]
    return images


def _demand_one_size(arrays: list[np.ndarray], ids: list[str], root: Path) -> None:
    sizes = [array.shape[:2] for array in arrays]
    (common, count), *others = Counter(sizes).most_common()
    if others:
        i = next(i for i, size in enumerate(sizes) if size != common)
        raise DataError(
            f"The images of {root} must all have one size",
            f"{count} of {len(sizes)} with {common[0]}×{common[1]} pixels (height × width), "
            f"but {ids[i]} with {sizes[i][0]}×{sizes[i][1]}",
            "Crop or resize them to one size first.",
        )

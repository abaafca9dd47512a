"""One image file: its shape, from the header alone, and its pixels.

What becomes of files that are not plain 8-bit grey or RGB:

===========================  ===============================================================================
truncated file               refused; no half image is ever returned
empty file, text named .png  refused: the content decides what a file is, not its name
other format, such as GIF    refused
1 bit                        grey, 0 or 255
16-bit grey                  scaled from [0, 65535] to [0, 255], rounded
32-bit integers              as 16-bit grey; refused where a value is outside of [0, 65535]
16 bits for each colour      PNG: the higher byte is kept, so 255 stays 255
floating point               refused, since the range is not known
palette                      its colours, RGB
CMYK                         RGB by Pillow's formula, no profile applied
transparency                 put on white
EXIF orientation             applied
colour profile               left alone
animated or several pages    the first frame
gigantic                     refused by its header, undecoded, above Pillow's ``MAX_IMAGE_PIXELS``: 89,478,485
                             pixels, about 9,459 × 9,459, so 30,000 × 30,000 is; cut it into tiles
===========================  ===============================================================================
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import BinaryIO

import numpy as np

from caescope.files import decoding

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")

# Pillow logs what it also raises; without a handler that would end up on the user's screen.
logging.getLogger("PIL").addHandler(logging.NullHandler())

STRIP_PIXELS = 2**22  # converted at a time, since what lies between takes up to 16 bytes for each
_GREY = ("1", "L", "I", "I;16", "I;16L", "I;16B", "I;16N", "LA", "La")
_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright, 5 to 8 lie on their side


class _PillowSilence:
    """Keeps Pillow's warnings from the screen while any thread reads.

    Filters of warnings belong to the process, so threads must not each change and restore them.
    """

    def __init__(self):
        self._lock, self._readers = Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if self._readers == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module="PIL")
            self._readers += 1

    def __exit__(self, *_) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                self._filters.__exit__(None, None, None)


pillow_silence = _PillowSilence()


def read_shape(path: str | os.PathLike, file: BinaryIO | None = None) -> tuple[int, int, int]:
    """Return height, width and channels as `read_pixels` will, without decoding.

    Parameters
    ----------
    path : path-like
    file : binary file, optional
        What is at ``path``, opened already because it lies elsewhere than on a disk; it is closed.

    Raises
    ------
    FileFormatError
        If the header cannot be read or announces a gigantic image.
    """
    from PIL import Image

    with _opened(path, file) as image:
        width, height = image.size
        channels = 1 if image.mode in _GREY else 3
        if width == height or image.format == "TIFF":  # whose size Pillow has turned already
            return height, width, channels
        on_its_side = Image.Image.getexif(image).get(_ORIENTATION, 1) in (
            5,
            6,
            7,
            8,
        )  # PNG's own getexif would decode
        return (width, height, channels) if on_its_side else (height, width, channels)


def read_pixels(path: str | os.PathLike, file: BinaryIO | None = None) -> np.ndarray:
    """Return one file as uint8 of shape (height, width) when it is grey, else (height, width, 3).

    Parameters
    ----------
    path, file
        As in `read_shape`.

    Raises
    ------
    FileFormatError
        If it cannot be read, is gigantic, or its pixels have no known range.
    """
    with _opened(path, file) as image:
        return _to_pixels(_upright(image))


@contextmanager
def _opened(path: str | os.PathLike, file: BinaryIO | None) -> Iterator:
    from PIL import Image

    # By its name, Pillow would map a plain TIFF into memory, and mix up the rows of one that lies on its side
    with (
        decoding(path, "a PNG, JPEG, TIFF, WebP or BMP image"),
        file or open(path, "rb") as content,
        _identified(content) as image,
    ):
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and image.width * image.height > limit:  # Pillow only warns up to twice as many
            raise Image.DecompressionBombWarning(f"{image.width}×{image.height} pixels, more than {limit}")
        yield image


def _identified(file: BinaryIO):
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        is_empty = file.seek(0, os.SEEK_END) == 0
        raise UnidentifiedImageError("an empty file" if is_empty else "content of another kind") from None


def _upright(image):
    from PIL import ImageOps

    image.load()  # some formats hold their EXIF data behind the pixels
    return image if image.getexif().get(_ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)


def _to_pixels(image) -> np.ndarray:
    """Convert a Pillow image of any mode."""
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is not known")
    width, height = image.size
    rows = max(1, STRIP_PIXELS // width)
    if rows >= height:
        return _convert(image)
    strips = (
        _convert(image.crop((0, top, width, min(top + rows, height)))) for top in range(0, height, rows)
    )
    pixels = np.empty((height, width) if image.mode in _GREY else (height, width, 3), np.uint8)
    for i, strip in enumerate(strips):
        pixels[i * rows : (i + 1) * rows] = strip
    return pixels


def _convert(image) -> np.ndarray:
    if image.mode.startswith("I"):
        return _from_16_bit(np.asarray(image))
    grey = image.mode in _GREY
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        image = _on_white(image.convert("RGBA"))
    mode = "L" if grey else "RGB"
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _on_white(image):
    from PIL import Image

    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _from_16_bit(values: np.ndarray) -> np.ndarray:
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("integer pixels outside [0, 65535]")
    return (values / 257).round().astype(np.uint8)

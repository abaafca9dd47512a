"""Images of any size brought to one: the centre cut out, what is left resized, colours left out."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from caescope.errors import DataError, OptionError
from caescope.parsing import parse_integer

MOST_PIXELS = 2**15  # along one side
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Fit:
    """What is done to every image while it is read: first cropped, then resized, then made grey.

    Parameters
    ----------
    resize : int or (int, int), optional
        Height and width in pixels of every image; one integer stands for both. Proportions are not kept: crop
        to the same proportions to keep them. Where neither side grows, a pixel is the mean of the area that
        it covers (Pillow's BOX): nothing is invented. Else Pillow's LANCZOS.
    crop : int or (int, int), optional
        Height and width in pixels of the centre that is cut out before; where a margin is odd, one pixel more
        is lost at the bottom and on the right.
    grey : bool
        Whether colours are replaced by their luma, 0.299 R + 0.587 G + 0.114 B.

    Raises
    ------
    OptionError
        If a size is not one or two integers from 1 to 32768.

    References
    ----------
    ITU-R BT.601-7 (2011), section 2.5.1, for the luma.

    Examples
    --------
    >>> fit = Fit(crop=2, resize=(1, 1))
    >>> fit.crop, fit(np.arange(16, dtype=np.uint8).reshape(4, 4)).tolist()
    ((2, 2), [[[8]]])
    """

    resize: Any = None
    crop: Any = None
    grey: bool = False

    def __post_init__(self):
        for name in ("resize", "crop"):
            object.__setattr__(self, name, _parse_size(getattr(self, name), name))

    def shape_of(self, shape: tuple[int, ...], name: str = "image") -> tuple[int, int, int]:
        """Return height, width and channels of what becomes of an image of ``shape``.

        Raises
        ------
        DataError
            If the image, which messages call ``name``, is smaller than the crop.
        """
        if self.crop and (self.crop[0] > shape[0] or self.crop[1] > shape[1]):
            raise DataError(
                f"Every image must have at least the {_size(self.crop)} pixels (height × width) of crop",
                f"{name} with {_size(shape)}",
                "Use a smaller crop, or resize alone.",
            )
        height, width = self.resize or self.crop or shape[:2]
        return height, width, 1 if self.grey else (*shape, 1)[2]

    def __call__(self, pixels: np.ndarray, name: str = "image") -> np.ndarray:
        """Return one image of shape (height, width[, channels]), uint8 or float32 in [0, 1], fitted.

        Raises
        ------
        DataError
            As in `shape_of`.
        """
        height, width, _ = self.shape_of(pixels.shape, name)
        pixels = pixels if pixels.ndim == 3 else pixels[..., None]
        if self.crop:
            top, left = ((side - kept) // 2 for side, kept in zip(pixels.shape, self.crop, strict=False))
            pixels = pixels[top : top + self.crop[0], left : left + self.crop[1]]
        if pixels.shape[:2] != (height, width):
            pixels = _resized(pixels, height, width)
        return _greyed(pixels) if self.grey and pixels.shape[2] == 3 else pixels

    def all(self, images: np.ndarray) -> np.ndarray:
        """Return images of shape (n, height, width, channels) fitted."""
        fitted = np.empty((len(images), *self.shape_of(images.shape[1:], "every one")), images.dtype)
        for i, image in enumerate(images):
            fitted[i] = self(image)
        return fitted


def _parse_size(size: Any, name: str) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2:
        raise OptionError(
            f"{name} must be one integer, or height and width", f"{name}={size!r}", f"Use {name}=(64, 64)."
        )
    height, width = (parse_integer(side, name, 1, MOST_PIXELS) for side in sides)
    return height, width


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize each channel on its own, as Pillow does, which knows colours in bytes alone."""
    from PIL import Image

    shrinks = height <= pixels.shape[0] and width <= pixels.shape[1]
    method = Image.Resampling.BOX if shrinks else Image.Resampling.LANCZOS
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.asarray(Image.fromarray(pixels).resize((width, height), method))
    channels = [
        Image.fromarray(pixels[..., c]).resize((width, height), method) for c in range(pixels.shape[2])
    ]
    resized = np.stack([np.asarray(channel) for channel in channels], axis=-1)
    return resized if pixels.dtype == np.uint8 else resized.clip(0, 1)  # LANCZOS overshoots at edges


def _greyed(pixels: np.ndarray) -> np.ndarray:
    from PIL import Image

    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    return (pixels @ LUMA)[..., None].clip(0, 1)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}×{shape[1]}"

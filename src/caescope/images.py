"""The one place where images from outside are checked and brought into their normal form."""

from collections.abc import Sequence

import numpy as np

from caescope.errors import DataError

LARGE = 64  # pixels along the shorter side


def parse_images(images, name: str = "images") -> np.ndarray:
    """Return ``images`` as an array of shape (n_images, height, width, channels), checked.

    Parameters
    ----------
    images : array_like, shape (n_images, height, width) or (n_images, height, width, channels)
        Floats in [0, 1], integers in [0, 255] or booleans; 1 channel (grey) or 3 (RGB).
    name : str
        What error messages call the array.

    Returns
    -------
    numpy.ndarray, shape (n_images, height, width, channels), float32 or uint8
        The same memory where no conversion was needed.

    Raises
    ------
    DataError
        If the shape, type or range does not fit, or a pixel is NaN or infinite.

    Examples
    --------
    >>> parse_images(np.zeros((5, 28, 28))).shape
    (5, 28, 28, 1)
    """
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise DataError(
            f"{name} must have shape (n_images, height, width, channels), channels last",
            f"an array of shape {images.shape}",
            "Reshape it, for example X.reshape(-1, 28, 28, 1).",
        )
    if images.shape[3] not in (1, 3):
        raise DataError(
            f"{name} must have 1 channel (grey) or 3 (RGB), channels last",
            f"an array of shape {images.shape}",
            "Move the channels to the last axis, or keep only the channels that are meant.",
        )
    if images.shape[0] == 0:
        raise DataError(f"{name} must hold at least one image", "none", "Check where they were read from.")
    return _parse_pixels(_plainly_laid_out(images), name)


def _plainly_laid_out(images: np.ndarray) -> np.ndarray:
    """Return the same memory with the strides that its shape has by default.

    Those of an axis of length 1 may be anything (0 after ``[..., None]``), and PyTorch chooses by them how it
    convolves: the same pixels would get latents with other last digits.
    """
    return images.reshape(-1).reshape(images.shape) if images.flags.c_contiguous else images


def _parse_pixels(images: np.ndarray, name: str) -> np.ndarray:
    """Bring pixels to uint8 or float32."""
    if images.dtype == np.uint8:
        return images
    if images.dtype == bool:
        return images.astype(np.float32)
    if images.dtype.kind not in "fiu":
        advice = "Give floats in [0, 1] or integers in [0, 255]."
        raise DataError(f"{name} must hold numbers", f"dtype {images.dtype}", advice)
    low, high = images.min(), images.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int((~np.isfinite(images)).any(axis=(1, 2, 3)).sum())
        raise DataError(
            f"Pixels of {name} must be finite",
            f"NaN or infinity in {bad} of {len(images)} images",
            "Leave those images out or repair them, for example with numpy.nan_to_num.",
        )
    if images.dtype.kind == "f" and low >= 0 and high <= 1:
        return images.astype(np.float32, copy=False)
    if images.dtype.kind in "iu" and low >= 0 and high <= 255:
        return images.astype(np.uint8)
    allowed = "[0, 1]" if images.dtype.kind == "f" else "[0, 255]"
    raise DataError(
        f"Pixels of {name} must lie in {allowed} when they are {images.dtype}",
        f"values from {low:g} to {high:g}",
        "Give uint8 images as they are, or divide floats by their maximum (255 for 8-bit images).",
    )


def to_float(images: np.ndarray) -> np.ndarray:
    """Return parsed images as float32 in [0, 1]: uint8 is divided by 255, float32 is passed through."""
    return np.divide(images, np.float32(255), dtype=np.float32) if images.dtype == np.uint8 else images


def is_large(shape: Sequence[int]) -> bool:
    """Tell whether images of shape (height, width, ...) want deeper networks: 64 pixels on the shorter side.

    >>> is_large((28, 28, 1)), is_large((64, 80, 3))
    (False, True)
    """
    return min(shape[:2]) >= LARGE

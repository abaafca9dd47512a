"""How close reconstructions come to their images."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter

from caescope.analysis.intervals import Interval, mean_interval
from caescope.errors import DataError
from caescope.images import parse_images, to_float
from caescope.parsing import parse_integer

CHUNK_VALUES = 2**17  # pixels and channels at a time: what SSIM makes of them stays in the cache
SMALLEST_MSE = 1e-10  # 100 dB, so that one exact image does not make a mean infinite


def image_errors(images, reconstructions) -> np.ndarray:
    r"""Return the mean squared error of each image.

    :math:`\frac{1}{hwc} \sum (x - \hat x)^2` over the pixels and channels of an image in [0, 1].

    Parameters
    ----------
    images, reconstructions : array_like, shape (n_images, height, width, channels)
        Each floats in [0, 1] or uint8 in [0, 255]; the channel axis may be left out for grey images.

    Returns
    -------
    numpy.ndarray, shape (n_images,), float32, in [0, 1]

    Raises
    ------
    DataError
        If the images cannot be used (see `caescope.images.parse_images`) or the shapes differ.

    Examples
    --------
    >>> image_errors(np.zeros((2, 4, 4)), np.full((2, 4, 4), 0.5))
    array([0.25, 0.25], dtype=float32)
    """
    return np.concatenate([_mse(*pair) for pair in _chunks(images, reconstructions)]).astype(np.float32)


def reconstruction_quality(images, reconstructions) -> dict[str, float]:
    r"""Return how close reconstructions come to their images, as three means over the images.

    MSE as in `image_errors`; PSNR, :math:`-10 \log_{10}` MSE, in dB; and SSIM with a uniform window of 7×7
    pixels, sample covariance, :math:`K_1 = 0.01` and :math:`K_2 = 0.03`, averaged over channels: as
    scikit-image's ``structural_similarity(..., channel_axis=-1, data_range=1)``.

    Parameters
    ----------
    images, reconstructions : array_like, shape (n_images, height, width, channels)
        Each floats in [0, 1] or uint8 in [0, 255]; the channel axis may be left out for grey images.

    Returns
    -------
    dict
        "mse" in [0, 1]; "psnr" in dB, where an exact reconstruction, whose PSNR is infinite, counts
        as 100 dB, as does any above that; "ssim" in [-1, 1], where images below 7 pixels use the largest odd
        window that fits, and a window of one pixel compares brightness only.

    Raises
    ------
    DataError
        If the images cannot be used (see `caescope.images.parse_images`) or the shapes differ.

    References
    ----------
    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE Transactions on Image Processing 13, 2004.

    Examples
    --------
    >>> images = np.linspace(0, 1, 128).reshape(2, 8, 8, 1)
    >>> reconstruction_quality(images, images)
    {'mse': 0.0, 'psnr': 100.0, 'ssim': 1.0}
    """
    return {name: float(values.mean()) for name, values in image_quality(images, reconstructions).items()}


def image_quality(images, reconstructions) -> dict[str, np.ndarray]:
    """Return what `reconstruction_quality` averages: "mse", "psnr" and "ssim" of each image.

    Parameters
    ----------
    images, reconstructions
        As in `reconstruction_quality`.

    Returns
    -------
    dict of numpy.ndarray, shape (n_images,), float64

    Raises
    ------
    DataError
        As in `reconstruction_quality`.

    Examples
    --------
    >>> image_quality(np.zeros((2, 4, 4)), np.full((2, 4, 4), 0.1))["psnr"].round(2).tolist()
    [20.0, 20.0]
    """
    parts = [(_mse(*pair), _ssim(*pair)) for pair in _chunks(images, reconstructions)]
    mse, ssim = (np.concatenate(values) for values in zip(*parts, strict=True))
    return {"mse": mse, "psnr": -10 * np.log10(np.maximum(mse, SMALLEST_MSE)), "ssim": ssim}


def quality_intervals(quality: Mapping[str, np.ndarray], groups=None, seed: int = 0) -> dict[str, Interval]:
    """Return the 95 % bootstrap interval of each mean over the images.

    Parameters
    ----------
    quality : mapping of str to array_like, shape (n_images,)
        As `image_quality` returns it.
    groups, seed
        As in `caescope.analysis.intervals.mean_interval`.

    Returns
    -------
    dict of (float, float)
        In the units of the figures themselves.

    Raises
    ------
    DataError
        As `caescope.analysis.intervals.mean_interval`.

    Examples
    --------
    >>> quality_intervals({"mse": [0.25, 0.25], "psnr": [20.0, 20.0]})
    {'mse': (0.25, 0.25), 'psnr': (20.0, 20.0)}
    """
    return {name: mean_interval(values, groups, seed) for name, values in quality.items()}


def pick_extremes(errors, n: int = 4) -> dict[str, np.ndarray]:
    """Find the images with the lowest, the middle and the highest errors.

    Parameters
    ----------
    errors : array_like, shape (n_images,)
        Finite.
    n : int, at least 1
        How many of each; fewer where there are not so many images.

    Returns
    -------
    dict of numpy.ndarray, shape (n,), int64
        Places of the images: "best", lowest first; "median", the middle of all in rising order; "worst",
        highest first. Of equal errors, the earlier image comes first. With fewer than ``3 * n`` images some
        are in two of these.

    Raises
    ------
    DataError
        If there are no errors, or one is not a finite number.
    OptionError
        If ``n`` is out of range.

    Examples
    --------
    >>> pick_extremes([0.3, 0.1, 0.5, 0.2, 0.4], n=1)
    {'best': array([1]), 'median': array([0]), 'worst': array([2])}
    """
    errors, n = np.asarray(errors, np.float64), parse_integer(n, "n")
    if errors.ndim != 1 or not len(errors) or not np.isfinite(errors).all():
        raise DataError(
            "errors must be one finite number for each image, of at least one",
            f"shape {errors.shape}, NaN or infinity in {np.sum(~np.isfinite(errors))}",
            "Give what image_errors returned.",
        )
    rising = np.argsort(errors, kind="stable")
    start = (len(errors) - min(n, len(errors))) // 2
    falling = np.argsort(-errors, kind="stable")
    return {"best": rising[:n], "median": rising[start : start + n], "worst": falling[:n]}


def _chunks(images, reconstructions) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield images and their reconstructions as float32 in [0, 1], a few at a time."""
    images = parse_images(images)
    reconstructions = parse_images(reconstructions, "reconstructions")
    if images.shape != reconstructions.shape:
        raise DataError(
            "images and reconstructions must have the same shape",
            f"{images.shape} and {reconstructions.shape}",
            "Give the reconstructions of exactly those images.",
        )
    step = max(1, CHUNK_VALUES // images[0].size)
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        yield to_float(images[part]), to_float(reconstructions[part])


def _mse(images: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Return the mean squared error of each image, shape (n,), float64."""
    apart = images - reconstructions
    rows = np.einsum("nhwc,nhwc->nh", apart, apart)  # short enough sums for float32
    return rows.sum(axis=1, dtype=np.float64) / apart[0].size


def _ssim(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the structural similarity of each image, shape (n,), from (n, height, width, channels)."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    side = min(7, *x.shape[1:3])
    side -= side % 2 == 0
    mean_x, mean_y = _window_means(x, side), _window_means(y, side)
    sample = side**2 / max(side**2 - 1, 1)
    variances = sample * (_window_means(x * x + y * y, side) - mean_x**2 - mean_y**2)
    covariance = sample * (_window_means(x * y, side) - mean_x * mean_y)
    c1, c2 = 0.01**2, 0.03**2
    brightness = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (brightness * (2 * covariance + c2) / (variances + c2)).mean(axis=(1, 2, 3))


def _window_means(values: np.ndarray, side: int) -> np.ndarray:
    """Return the means of all windows of ``side`` × ``side`` pixels that lie inside the image."""
    edge, (height, width) = side // 2, values.shape[1:3]
    size: Any = (1, side, side, 1)
    means = uniform_filter(values, size)
    return means[:, edge : height - edge, edge : width - edge]

"""Latents at the border: their normal form, and the variables that say nothing."""

from typing import TypedDict

import numpy as np

from caescope.errors import DataError

LARGEST = 1e15  # sums of squares of anything larger would leave float32


class Audit(TypedDict):
    """What `audit_latents` found."""

    features: int
    dead: int
    std: np.ndarray
    dead_mask: np.ndarray


def flatten_latents(latents) -> np.ndarray:
    """Return latents, convolutional ones included, as a table.

    Parameters
    ----------
    latents : array_like, shape (n_images, latent_features) or (n_images, height, width, channels)

    Returns
    -------
    numpy.ndarray, shape (n_images, features)
        The last axis runs fastest: height, width, channels.

    Raises
    ------
    DataError
        If there are no images, no features, or no table at all.

    Examples
    --------
    >>> flatten_latents(np.zeros((5, 7, 7, 16))).shape
    (5, 784)
    """
    return _flatten(latents, "latents")


def parse_latents(latents, name: str = "latents", features: int | None = None) -> np.ndarray:
    """Return latents, or points of a map, in their normal form, checked.

    Parameters
    ----------
    latents : array_like, shape (n_images, ...)
        Numbers, none of them NaN, infinite or beyond ±1e15.
    name : str
        What error messages call them.
    features : int, optional
        How many there must be, where that is known.

    Returns
    -------
    numpy.ndarray, shape (n_images, features), float32

    Raises
    ------
    DataError
        If they cannot be used.

    Examples
    --------
    >>> parse_latents([[1, 2], [3, 4], [5, 6]]).shape
    (3, 2)
    """
    table = _flatten(latents, name)
    if table.dtype.kind not in "fiub":
        raise DataError(f"{name} must be numbers", f"dtype {table.dtype}", "Convert them to float32.")
    if not (float(table.min()) >= -LARGEST and float(table.max()) <= LARGEST):
        bad = int((~(np.abs(table.astype(np.float64)) <= LARGEST)).any(axis=1).sum())
        raise DataError(
            f"{name} must be finite and within ±{LARGEST:g}",
            f"NaN, infinity or larger numbers for {bad} of {len(table)} images",
            "Train again with a lower learning rate, or leave those images out.",
        )
    if features not in (None, table.shape[1]):
        advice = f"Give {name} of the same kind that the others have."
        raise DataError(f"{name} must have {features} features, as before", f"{table.shape[1]}", advice)
    return table.astype(np.float32, copy=False)


def _flatten(latents, name: str) -> np.ndarray:
    try:
        array = np.asarray(latents)
    except ValueError:  # rows of different lengths
        array = np.empty(0)
    if array.ndim < 2 or array.size == 0:
        raise DataError(
            f"{name} must have shape (n_images, features), with at least one of each",
            f"shape {array.shape}" if array.size else "nothing, or rows of different lengths",
            "Give one row for each image.",
        )
    return array.reshape(len(array), -1)


def audit_latents(latents) -> Audit:
    """Find the variables that are the same for all images, and how much the others vary.

    Parameters
    ----------
    latents : array_like, shape (n_images, ...)

    Returns
    -------
    dict
        ``features``, how many variables there are; ``dead``, how many are constant: their range is at most
        1e-6, about float32's precision, of their largest magnitude; ``std``, the standard deviation of each,
        shape (features,), float64; ``dead_mask``, which ones are constant, shape (features,), bool.

    Raises
    ------
    DataError
        If the latents cannot be used; see `parse_latents`.

    Examples
    --------
    >>> audit = audit_latents([[0, 1, 5], [0, 3, 5]])
    >>> audit["dead"], audit["std"].tolist()
    (2, [0.0, 1.0, 0.0])
    """
    table = parse_latents(latents)
    low, high = table.min(axis=0).astype(np.float64), table.max(axis=0).astype(np.float64)
    dead = high - low <= 1e-6 * np.maximum(np.abs(low), np.abs(high))
    return Audit(
        features=table.shape[1],
        dead=int(dead.sum()),
        std=table.std(axis=0, dtype=np.float64),
        dead_mask=dead,
    )

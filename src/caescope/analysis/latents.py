"""Latents at the border: their normal form, and how much their variables have to say."""

from collections.abc import Iterable, Iterator
from typing import TypedDict

import numpy as np

from caescope.errors import DataError
from caescope.parallel import blocks_of

LARGEST = 1e15  # sums of squares of anything larger would leave float32
MOST_CORRELATED = 2048  # features; a matrix of 32 MB
MOST_SAMPLED = 2048  # images that stand for all where there are more features than that
SAME = 0.999  # a correlation from which on two variables count as one
BLOCK_VALUES = 2**21  # 16 MB of float64


class Audit(TypedDict):
    """What `audit_latents` found."""

    features: int
    dead: int
    std: np.ndarray
    dead_mask: np.ndarray
    spectrum: np.ndarray
    effective_rank: float
    correlation: np.ndarray | None
    strongest_correlation: float
    duplicates: list[tuple[int, int]]


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
    r"""Find the variables that are constant, how much the others vary, and which vary together.

    Parameters
    ----------
    latents : array_like, shape (n_images, ...)

    Returns
    -------
    dict
        ``features``, how many variables there are.

        ``dead``, how many are constant: their range is at most 1e-6, about float32's precision, of their
        largest magnitude; ``dead_mask``, which ones, shape (features,), bool.

        ``std``, the standard deviation of each, shape (features,), float64.

        ``spectrum``, the share of the variance along each principal direction, falling, shape
        (min(n_images, features),), float64; zeros where all variables are constant.

        ``effective_rank``, the participation ratio of the covariance's eigenvalues,
        :math:`(\sum_i \lambda_i)^2 / \sum_i \lambda_i^2`: k where k directions share the variance evenly,
        near 1 where one has nearly all, 0 where nothing varies.

        ``correlation``, Pearson's r of each two variables, shape (features, features), float32; a dead
        variable has 1 with itself and 0 with the others.

        ``strongest_correlation``, the largest \|r\| of two variables; 0 with fewer than two live ones.

        ``duplicates``, pairs (i, j), i < j, of live variables with \|r\| of at least 0.999. Each j is named
        once, with the first i that it repeats, so that there are as many pairs as variables to spare.

        With more than 2,048 features ``correlation`` is None, and the figures about directions and pairs are
        those of a random sample of at most 2,048 images; ``spectrum`` has as many entries, and
        ``effective_rank`` cannot be higher.

    Raises
    ------
    DataError
        If the latents cannot be used; see `parse_latents`.

    References
    ----------
    Gao, Trautmann, Yu, Santhanam, Ryu, Shenoy and Ganguli, "A theory of multineuronal dimensionality,
    dynamics and measurement", bioRxiv 214262, 2017: the participation ratio as a number of dimensions.

    Examples
    --------
    >>> audit = audit_latents([[0, 1, 5, 2], [0, 3, 5, 6], [0, 5, 5, 10]])
    >>> audit["dead"], audit["duplicates"], round(audit["effective_rank"], 6)
    (2, [(1, 3)], 1.0)
    """
    table = parse_latents(latents)
    n_images, features = table.shape
    low, high = table.min(axis=0).astype(np.float64), table.max(axis=0).astype(np.float64)
    dead = is_constant(low, high)
    if features <= MOST_CORRELATED:
        covariance = _covariance(table, dead)
        eigenvalues, correlation = np.linalg.eigvalsh(covariance), _correlation(covariance)
        bands = [np.abs(correlation)]
    else:
        sample = _centred_sample(table, dead)
        eigenvalues, correlation = np.linalg.eigvalsh(sample @ sample.T), None
        bands = _bands(sample)
    spectrum = _shares(eigenvalues)[: min(n_images, features)]
    strongest, duplicates = _judge_pairs(bands, features)
    return Audit(
        features=features,
        dead=int(dead.sum()),
        std=np.concatenate([part.std(axis=0, dtype=np.float64) for part in _column_blocks(table)]),
        dead_mask=dead,
        spectrum=spectrum,
        effective_rank=float(1 / np.square(spectrum).sum()) if spectrum.any() else 0.0,
        correlation=None if correlation is None else correlation.astype(np.float32),
        strongest_correlation=strongest,
        duplicates=duplicates,
    )


def is_constant(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Tell of variables by their least and largest value whether they are dead; see `audit_latents`.

    >>> is_constant(np.array([0.0, 1.0]), np.array([0.0, 2.0])).tolist()
    [True, False]
    """
    return high - low <= 1e-6 * np.maximum(np.abs(low), np.abs(high))


def _covariance(table: np.ndarray, dead: np.ndarray) -> np.ndarray:
    """Return the covariance of all variables, zero where one is dead, shape (features, features), float64."""
    mean, products = table.mean(axis=0, dtype=np.float64), np.zeros((table.shape[1],) * 2)
    for rows in blocks_of(len(table), max(1, BLOCK_VALUES // table.shape[1])):
        centred = table[rows] - mean
        products += centred.T @ centred
    return np.where(dead | dead[:, None], 0.0, products / len(table))


def _correlation(covariance: np.ndarray) -> np.ndarray:
    std = np.sqrt(np.diag(covariance))
    scale = np.outer(std, std)
    matrix = np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0)
    np.fill_diagonal(matrix, 1)
    return np.clip(matrix, -1, 1)


def _centred_sample(table: np.ndarray, dead: np.ndarray) -> np.ndarray:
    """Return some rows as float64 around their mean, zero where a variable is dead."""
    if len(table) > MOST_SAMPLED:
        chosen = np.random.default_rng(0).choice(len(table), MOST_SAMPLED, replace=False)
        table = table[np.sort(chosen)]
    centred = table - table.mean(axis=0, dtype=np.float64)
    centred[:, dead] = 0
    return centred


def _bands(centred: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the magnitudes of the correlations of some variables at a time with all."""
    norms = np.linalg.norm(centred, axis=0)
    unit = np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 0).astype(np.float32)
    for part in blocks_of(unit.shape[1], MOST_CORRELATED):
        yield np.abs(unit[:, part].T @ unit)


def _judge_pairs(bands: Iterable[np.ndarray], features: int) -> tuple[float, list[tuple[int, int]]]:
    """Return the strongest correlation of two variables, and each variable that repeats an earlier one."""
    strongest, start, partner = 0.0, 0, np.full(features, -1)
    for band in bands:
        above = np.triu(band, start + 1)
        strongest = max(strongest, float(above.max()))
        same = above >= SAME
        found = same.any(axis=0) & (partner < 0)
        partner[found] = start + same[:, found].argmax(axis=0)
        start += len(band)
    return min(strongest, 1.0), [(int(partner[j]), int(j)) for j in np.flatnonzero(partner >= 0)]


def _shares(eigenvalues: np.ndarray) -> np.ndarray:
    """Return rising eigenvalues as falling shares of their sum; rounding may have made some negative."""
    falling = np.maximum(eigenvalues[::-1], 0)
    return falling / (falling.sum() or 1.0)


def _column_blocks(table: np.ndarray) -> Iterator[np.ndarray]:
    return (table[:, part] for part in blocks_of(table.shape[1], max(1, BLOCK_VALUES // len(table))))

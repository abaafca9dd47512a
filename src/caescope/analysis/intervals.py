"""How far a figure would move had other images been drawn: 95 % intervals."""

import numpy as np
from scipy.stats import binomtest

from caescope.errors import DataError

LEVEL = 0.95
RESAMPLES = 1000
CELLS = 2**22  # random numbers at a time: 32 MB

Interval = tuple[float, float]


def mean_interval(values, groups=None, seed: int = 0) -> Interval:
    """Return the 95 % bootstrap interval (percentiles) of a mean.

    Parameters
    ----------
    values : array_like, shape (n_images,)
        One number for each image, finite.
    groups : array_like, shape (n_images,), optional
        The slide or patient of each image: whole groups are drawn then, because images of one group are
        alike and count for less than their number. Of a single group its images are drawn, which says
        nothing of other groups.
    seed : int, 0 to 2**32 - 1

    Returns
    -------
    (float, float)
        The 2.5th and 97.5th percentile of 1,000 resampled means.

    Raises
    ------
    DataError
        If there are no values, or groups are not one for each of them.

    References
    ----------
    Efron, "Bootstrap methods: another look at the jackknife", The Annals of Statistics 7, 1979.

    Examples
    --------
    >>> mean_interval([0.5] * 10)
    (0.5, 0.5)
    """
    sums, counts = _totals(np.asarray(values, np.float64), groups)
    return _percentiles(_resampled(sums, counts, seed))


def accuracy_interval(correct, groups=None, seed: int = 0) -> Interval:
    """Return the 95 % interval of a share of right answers.

    Parameters
    ----------
    correct : array_like, shape (n_images,), bool
    groups : array_like, shape (n_images,), optional
        As in `mean_interval`, which is what is returned with them.
    seed : int, 0 to 2**32 - 1
        For groups only.

    Returns
    -------
    (float, float), in [0, 1]
        Wilson's score interval.

    Raises
    ------
    DataError
        As `mean_interval`.

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22, 1927.

    Examples
    --------
    >>> low, high = accuracy_interval([True] * 90 + [False] * 10)
    >>> round(low, 4), round(high, 4)
    (0.8256, 0.9448)
    """
    right = np.asarray(correct, bool)
    if not _is_one(groups) or not len(right):
        return mean_interval(right, groups, seed)
    return _wilson(int(right.sum()), len(right))


def counted_interval(right, totals, seed: int = 0) -> Interval:
    """Return what `accuracy_interval` does, where the right answers of each group are counted already.

    Parameters
    ----------
    right, totals : array_like, shape (n_groups,), int
        How many answers are right in each group, and how many there are, at least one. Of a single group its
        images are what is drawn.
    seed : int, 0 to 2**32 - 1
        For several groups only.

    Examples
    --------
    >>> counted_interval([90], [100]) == accuracy_interval([True] * 90 + [False] * 10)
    True
    """
    right, totals = np.asarray(right), np.asarray(totals)
    if len(totals) == 1:
        return _wilson(int(right[0]), int(totals[0]))
    return _percentiles(_resampled(right.astype(np.float64), totals.astype(np.float64), seed))


def balanced_interval(correct, codes, groups=None, seed: int = 0) -> Interval:
    """Return the 95 % bootstrap interval of a balanced accuracy, the mean over classes of their recall.

    Parameters
    ----------
    correct : array_like, shape (n_images,), bool
    codes : array_like, shape (n_images,), int
        The true class of each image, at least 0.
    groups : array_like, shape (n_images,), optional
        As in `mean_interval`. Without them each class is resampled by itself.
    seed : int, 0 to 2**32 - 1

    Returns
    -------
    (float, float), in [0, 1]

    Raises
    ------
    DataError
        As `mean_interval`.

    Examples
    --------
    >>> balanced_interval([True, True, False, False], [0, 0, 1, 1])
    (0.5, 0.5)
    """
    right = np.asarray(correct, np.float64)
    _demand_alike(codes, "codes", right)
    parts = [np.asarray(codes) == code for code in np.unique(codes)]
    if _is_one(groups) and len(right):
        # Right answers among images drawn from one class are binomial
        rng = np.random.default_rng(seed)
        recalls = [rng.binomial(p.sum(), right[p].mean(), RESAMPLES) / p.sum() for p in parts]
        return _percentiles(np.mean(recalls, axis=0))
    totals = [_totals(np.where(part, right, 0.0), groups, part) for part in parts or [right > 0]]
    # A class may be missing from a resample: the mean is then over the others
    return _percentiles(np.nanmean([_resampled(*total, seed) for total in totals], axis=0))


def mean_recall_interval(correct, codes) -> Interval:
    r"""Return the 95 % interval of a balanced accuracy measured on few, such as slides.

    Each class has its Wilson interval from :math:`l_c` to :math:`u_c` around its recall :math:`r_c`; the mean
    over k classes lies :math:`\sqrt{\sum_c (r_c - l_c)^2} / k` above the lower end, and the upper one
    likewise. Unlike that of `balanced_interval`, it keeps a width where every answer is right.

    Parameters
    ----------
    correct : array_like, shape (n_images,), bool
    codes : array_like, shape (n_images,), int
        The true class of each image.

    Returns
    -------
    (float, float), in [0, 1]

    Raises
    ------
    DataError
        If there are no answers, or codes are not one for each of them.

    References
    ----------
    Zou, Huang and Zhang, "A note on confidence interval estimation for a linear function of binomial
    proportions", Computational Statistics & Data Analysis 53, 2009.

    Examples
    --------
    >>> low, high = mean_recall_interval([True] * 10, [0] * 5 + [1] * 5)
    >>> round(low, 4), high
    (0.6928, 1.0)
    """
    right = np.asarray(correct, bool)
    _demand_alike(codes, "codes", right)
    parts = [right[np.asarray(codes) == code] for code in np.unique(codes)] or [right]
    low, high = np.transpose([accuracy_interval(part) for part in parts])
    recalls = np.array([part.mean() for part in parts])
    mean, n_classes = recalls.mean(), len(parts)
    below, above = (np.linalg.norm(recalls - ends) / n_classes for ends in (low, high))
    return float(mean - below), float(mean + above)


def _wilson(right: int, total: int) -> Interval:
    ends = binomtest(right, total).proportion_ci(LEVEL, "wilson")
    return float(ends.low), float(ends.high)


def _totals(values: np.ndarray, groups, counted=None) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of the values, and how many they are, in each group, or of each image alone."""
    counted = np.ones(len(values)) if counted is None else np.asarray(counted, np.float64)
    if not len(values) or not np.isfinite(values).all():
        received = f"{int((~np.isfinite(values)).sum())} that are NaN or infinite" if len(values) else "none"
        raise DataError("An interval needs finite values, at least one", received, "Leave those images out.")
    if groups is not None:
        _demand_alike(groups, "groups", values)
    if _is_one(groups):
        return values, counted
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    return np.bincount(codes, values), np.bincount(codes, counted)


def _is_one(groups) -> bool:
    """Tell whether there is nothing but images to draw: no groups, or a single one."""
    return groups is None or len(np.unique(np.asarray(groups))) == 1


def _demand_alike(known, name: str, values: np.ndarray) -> None:
    if len(known) != len(values):
        raise DataError(
            f"{name} must hold one value for each image",
            f"{len(known)} for {len(values)} images",
            "Give both for the same images, in the same order.",
        )


def _resampled(sums: np.ndarray, counts: np.ndarray, seed: int) -> np.ndarray:
    """Return means of as many units drawn with replacement as there are, shape (RESAMPLES,)."""
    rng, means, n_units = np.random.default_rng(seed), [], len(sums)
    step = max(1, CELLS // n_units)
    with np.errstate(invalid="ignore"):
        for start in range(0, RESAMPLES, step):
            drawn = rng.integers(0, n_units, (min(step, RESAMPLES - start), n_units))
            means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.concatenate(means)


def _percentiles(means: np.ndarray) -> Interval:
    low, high = np.nanpercentile(means, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)

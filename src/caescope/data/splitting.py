"""Who trains, who validates, who tests."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from caescope.data.sources import SPLITS, ArraySource
from caescope.errors import DataError, OptionError
from caescope.parsing import parse_seed


def split_source(
    source: ArraySource, seed: int = 0, fractions: Sequence[float] = (0.8, 0.1, 0.1)
) -> ArraySource:
    """Return the source with every image in one of the splits train, validation and test.

    Parameters
    ----------
    source : ArraySource
        A split of its own is kept; what it lacks of validation and test is drawn from its train images.
    seed : int, at least 0
    fractions : three floats above 0 that add up to 1
        Of train, validation and test. A missing validation takes its fraction of the train images.

    Returns
    -------
    ArraySource
        The same images, with at least one in each split.

    Raises
    ------
    DataError
        If there are too few images to give each split one.
    OptionError
        If the seed or the fractions cannot be used.

    Examples
    --------
    >>> source = split_source(ArraySource(np.zeros((10, 2, 2))), seed=0)
    >>> [int((source.split == name).sum()) for name in ("train", "validation", "test")]
    [8, 1, 1]
    """
    return replace(source, split=assign_splits(len(source), source.split, seed, fractions))


def assign_splits(
    n_images: int,
    split: np.ndarray | None = None,
    seed: int = 0,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
) -> np.ndarray:
    """Return the split of each of ``n_images`` images, shape (n_images,), str; see `split_source`.

    Examples
    --------
    >>> sorted(assign_splits(3, seed=0).tolist())
    ['test', 'train', 'validation']
    """
    wanted: dict[str, float] = dict(zip(SPLITS, _parse_fractions(fractions), strict=True))
    split = np.full(n_images, "train", "<U10") if split is None else split.astype("<U10")
    missing = [name for name in ("validation", "test") if name not in split]
    train = np.flatnonzero(split == "train")
    if len(train) <= len(missing):
        raise DataError(
            "The images to split must be at least one for each of train, validation and test",
            f"{len(train)} images for train{''.join(f' and {name}' for name in missing)}",
            "Add images.",
        )
    order = np.random.default_rng(parse_seed(seed)).permutation(train)
    for name, count in _counts(len(train), [wanted[name] for name in missing], missing).items():
        split[order[:count]] = name
        order = order[count:]
    return split


def _counts(n_images: int, fractions: list[float], names: list[str]) -> dict[str, int]:
    """Return how many images each name gets: its fraction, but at least one."""
    counts, left = {}, n_images
    for i, (name, fraction) in enumerate(zip(names, fractions, strict=True)):
        counts[name] = min(max(1, round(fraction * n_images)), left - (len(names) - i))
        left -= counts[name]
    return counts


def _parse_fractions(fractions: Sequence[float]) -> tuple[float, ...]:
    try:
        parsed = tuple(float(fraction) for fraction in fractions)
    except (TypeError, ValueError):
        parsed = ()
    if len(parsed) != 3 or not min(parsed) > 0 or abs(sum(parsed) - 1) > 1e-6:
        raise OptionError(
            "fractions must be three numbers above 0 that add up to 1",
            f"fractions={fractions!r}",
            "Use for example fractions=(0.8, 0.1, 0.1).",
        )
    return parsed

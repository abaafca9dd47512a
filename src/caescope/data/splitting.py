"""Who trains, who validates, who tests."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from caescope.data.sources import SPLITS, ArraySource, StoredSource, parse_labels
from caescope.errors import DataError, OptionError
from caescope.parsing import parse_seed

AnySource = TypeVar("AnySource", bound=ArraySource | StoredSource)
MOST_ORDERS, CELLS = 1000, 2**21  # orders of the groups to choose from; entries of all of them together


def split_source(
    source: AnySource, seed: int = 0, fractions: Sequence[float] = (0.8, 0.1, 0.1), groups=None
) -> AnySource:
    """Return the source with every image in one of the splits train, validation and test.

    Parameters
    ----------
    source : source
        A split of its own is kept; what it lacks of validation and test is drawn from its train images.
    seed : int, at least 0
    fractions : three floats above 0 that add up to 1
        Of train, validation and test. A missing validation takes its fraction of the train images.
    groups : array_like, shape (n_images,), optional
        The slide or patient of each image, none missing. All images of a group are drawn together, so that
        none is tested on a slide that it was trained on; the fractions are met as nearly as the groups
        allow, so few groups of different sizes may fall the same way for every seed. A split that the data
        bring is kept even where it divides a group; see `leaking_groups`.

    Returns
    -------
    source
        The same images, with at least one, or one group, in each split.

    Raises
    ------
    DataError
        If there are too few images or groups to give each split one, or groups cannot be used.
    OptionError
        If the seed or the fractions cannot be used.

    Examples
    --------
    >>> source = split_source(ArraySource(np.zeros((10, 2, 2))), seed=0)
    >>> [int((source.split == name).sum()) for name in ("train", "validation", "test")]
    [8, 1, 1]
    """
    return replace(source, split=assign_splits(len(source), source.split, seed, fractions, groups))


def assign_splits(
    n_images: int,
    split: np.ndarray | None = None,
    seed: int = 0,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    groups=None,
) -> np.ndarray:
    """Return the split of each of ``n_images`` images, shape (n_images,), str; see `split_source`.

    Examples
    --------
    >>> sorted(assign_splits(3, seed=0).tolist())
    ['test', 'train', 'validation']
    >>> assign_splits(6, groups=["a", "a", "b", "a", "c", "a"]).tolist()
    ['train', 'train', 'test', 'train', 'validation', 'train']
    """
    wanted: dict[str, float] = dict(zip(SPLITS, _parse_fractions(fractions), strict=True))
    rng = np.random.default_rng(parse_seed(seed))
    split = np.full(n_images, "train", "<U10") if split is None else split.astype("<U10")
    missing = [name for name in ("validation", "test") if name not in split]
    train = np.flatnonzero(split == "train")
    targets = [wanted[name] * len(train) for name in missing]
    if groups is None or not missing:
        _demand_enough(len(train), "images", missing)
        drawn = _draw_images(len(train), targets, rng)
    else:
        codes, n_groups = _encode_groups(parse_labels(groups, n_images, "groups")[train])
        _demand_enough(n_groups, "groups", missing)
        drawn = _draw_groups(codes, targets, rng)
    for name, rows in zip(missing, drawn, strict=True):
        split[train[rows]] = name
    return split


def leaking_groups(split: np.ndarray, groups) -> list:
    """Return the groups with images in both train and test, sorted, as plain Python values.

    Parameters
    ----------
    split : array_like of str, shape (n_images,)
    groups : array_like, shape (n_images,)
        Where a group is missing (None, NaN, masked) nothing can be said about its image.

    Raises
    ------
    DataError
        If groups cannot be used, or are not one for each image.

    Examples
    --------
    >>> leaking_groups(["train", "test", "train", "test"], ["b", "a", "a", "a"])
    ['a']
    """
    split = np.asarray(split)
    values = parse_labels(groups, len(split), "groups")
    known = ~np.ma.getmaskarray(values)
    train, test = (set(np.asarray(values)[known & (split == name)].tolist()) for name in ("train", "test"))
    return sorted(train & test)


def _draw_images(n_images: int, targets: list[float], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the positions drawn for each target: as many as it says, but at least one."""
    left = rng.permutation(n_images)
    for i, target in enumerate(targets):
        count = min(max(1, round(target)), len(left) - (len(targets) - i))
        yield left[:count]
        left = left[count:]


def _draw_groups(codes: np.ndarray, targets: list[float], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the positions drawn for each target: whole groups, at least one, nearly as many as it says."""
    sizes = np.bincount(codes)
    left = np.arange(len(sizes))
    for i, target in enumerate(targets):
        most = len(left) - (len(targets) - i)
        drawn = left[_nearest_sum(sizes[left], target, most, rng)]
        yield np.flatnonzero(np.isin(codes, drawn))
        left = np.setdiff1d(left, drawn)


def _nearest_sum(sizes: np.ndarray, target: float, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return positions of 1 to ``most`` sizes that sum to nearly ``target``: the best of random draws."""
    n_orders = int(np.clip(CELLS // len(sizes), 1, MOST_ORDERS))
    orders = rng.permuted(np.tile(np.arange(len(sizes)), (n_orders, 1)), axis=1)
    errors = np.abs(sizes[orders].cumsum(axis=1)[:, :most] - target)
    order, last = np.unravel_index(errors.argmin(), errors.shape)
    return orders[order, : last + 1]


def _encode_groups(groups: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the group of each image as an integer, and how many groups there are."""
    if np.ma.is_masked(groups):
        raise DataError(
            "groups must be known for every image that is to be split by them",
            f"none for {np.ma.count_masked(groups)} of {len(groups)} images",
            "Give every image one, leave those images out, or split without groups.",
        )
    row = np.asarray(groups).tolist()
    # Sorted, so that the images' order does not decide which groups are drawn
    code_of = {name: code for code, name in enumerate(sorted(set(row)))}
    return np.fromiter((code_of[name] for name in row), np.int64, len(row)), len(code_of)


def _demand_enough(n_units: int, units: str, missing: list[str]) -> None:
    if n_units <= len(missing):
        be = "be" if units == "images" else "come from groups,"
        raise DataError(
            f"The images to split must {be} at least one for each of train, validation and test",
            f"{n_units} {units} for train{''.join(f' and {name}' for name in missing)}",
            "Add images." if units == "images" else "Add images of other groups, or split without groups.",
        )


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

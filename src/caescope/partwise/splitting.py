"""Train, validation and test images of collections of which no process sees all."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from caescope.data.sources import SPLITS
from caescope.errors import DataError

FRACTION = 0.1  # of test, and of validation


@dataclass(frozen=True)
class SplitRule:
    """Who trains, who validates, who tests: the same for an image whoever asks, and in whatever order.

    Every image, or every group, has a number in [0, 1) of its own, drawn by the seed. Low ones test and high
    ones validate; but a split that the data bring is kept, and only what it lacks is taken from its train
    images.

    Attributes
    ----------
    seed : int
    group : str or None
        The column whose values stay on one side.
    keeps : bool
        Whether a split of the data's own counts.
    test_below, validation_from : float
    """

    seed: int
    group: str | None = None
    keeps: bool = True
    test_below: float = 0.0
    validation_from: float = 1.0

    def assign(self, given: np.ndarray | None, units: np.ndarray) -> np.ndarray:
        """Return the split of images, shape (n_images,), str.

        Parameters
        ----------
        given : numpy.ndarray of str, shape (n_images,), or None
            The data's own split.
        units : numpy.ndarray, shape (n_images,), float64
            As `row_units` or `group_units` draws them.
        """
        split = self._start(given, len(units))
        train = split == "train"
        split[train & (units < self.test_below)] = "test"
        split[train & (units >= self.validation_from)] = "validation"
        return split

    def fit(self, given: np.ndarray | None, units: np.ndarray) -> "SplitRule":
        """Return the rule by which each split gets a tenth of these images' numbers, and one at least.

        Raises
        ------
        DataError
            If there are too few.
        """
        split = self._start(given, len(units))
        missing = [name for name in ("test", "validation") if name not in split]
        if not missing:
            return self
        own = np.unique(units[split == "train"])
        _demand_enough(len(own), self.group, missing)
        share = max(1, round(FRACTION * len(own)))
        ends = {"test_below": own[: share + 1][-2:].mean(), "validation_from": own[-share - 1 :][:2].mean()}
        named = {"test": "test_below", "validation": "validation_from"}
        return replace(self, **{named[name]: float(ends[named[name]]) for name in missing})

    def _start(self, given: np.ndarray | None, n_images: int) -> np.ndarray:
        if given is None or not self.keeps:
            return np.full(n_images, "train", "<U10")
        return given.astype("<U10")


def row_units(seed: int, first: int, n_images: int) -> np.ndarray:
    """Return a number in [0, 1) for each image of the part that begins with the image ``first``.

    >>> row_units(0, 8192, 3).round(2).tolist() == row_units(0, 8192, 3).round(2).tolist()
    True
    """
    return np.random.default_rng([seed, first]).random(n_images)


def group_units(seed: int, groups) -> np.ndarray:
    """Return a number in [0, 1) for each image, the same for all images of a group, by the group's name.

    >>> one, other = group_units(0, ["slide 1", "slide 2", "slide 1"])[:2]
    >>> bool(one != other)
    True
    """
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    keys = [hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest() for name in names.tolist()]
    return np.array([int.from_bytes(key, "big") / 2**64 for key in keys])[codes]


def _demand_enough(n_units: int, group: str | None, missing: list[str]) -> None:
    if n_units > len(missing):
        return
    unit = "image" if group is None else f"value of {group}"
    raise DataError(
        f"The sample must have one {unit} at least for each of {', '.join(SPLITS)}",
        f"{n_units} for train and {' and '.join(missing)}",
        "Draw a larger sample, add images, or give a column split.",
    )

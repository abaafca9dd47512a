"""Training and test set of a probe, brought into their normal form."""

from typing import NamedTuple

import numpy as np

from caescope.analysis.latents import parse_latents
from caescope.errors import DataError
from caescope.metrics import encode_labels


class ProbeSets(NamedTuple):
    """Latents as float64 tables; labels as positions in ``names``, groups of the test set as integers."""

    train: np.ndarray
    train_codes: np.ndarray
    test: np.ndarray
    test_codes: np.ndarray
    names: list
    test_groups: np.ndarray | None = None


def parse_sets(train_latents, train_labels, test_latents, test_labels, test_groups=None) -> ProbeSets:
    """Return both sets, checked.

    Parameters
    ----------
    train_latents, test_latents : array_like, shape (n_images, ...)
    train_labels, test_labels : array_like, shape (n_images,)
        Of any kind, none missing.
    test_groups : array_like, shape (n_test_images,), optional
        The slide or patient of each test image, none missing.

    Raises
    ------
    DataError
        If they do not fit one another, or the training set has only one label.

    Examples
    --------
    >>> sets = parse_sets([[0], [1]], ["low", "high"], [[2]], ["middle"])
    >>> sets.train_codes, sets.test_codes, sets.names
    (array([1, 0]), array([2]), ['high', 'low', 'middle'])
    """
    train = parse_latents(train_latents, "train_latents")
    test = parse_latents(test_latents, "test_latents", features=train.shape[1])
    train_codes, train_names = _encode(train_labels, train, "train", "label")
    test_codes, test_names = _encode(test_labels, test, "test", "label")
    if len(train_names) < 2:
        raise DataError(
            "train_labels must have at least two different labels",
            f"only {train_names[0]!r}",
            "Add images of another label; a probe cannot tell one from nothing.",
        )
    codes, names = encode_labels(train_names + test_names)
    of_train, of_test = np.split(codes, [len(train_names)])
    return ProbeSets(
        train.astype(np.float64),
        of_train[train_codes],
        test.astype(np.float64),
        of_test[test_codes],
        names,
        None if test_groups is None else _encode(test_groups, test, "test", "group")[0],
    )


def _encode(values, latents: np.ndarray, part: str, noun: str) -> tuple[np.ndarray, list]:
    codes, names = encode_labels(values, f"{part}_{noun}s")
    if len(codes) != len(latents):
        raise DataError(
            f"{part}_{noun}s must hold one {noun} for each image",
            f"{len(codes)} {noun}s for {len(latents)} images",
            "Give both for the same images, in the same order.",
        )
    return codes, names

"""What a slide or patient as a whole knows about its label, asked by leaving each out in turn."""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import mode
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from caescope.analysis.aggregating import Aggregate, aggregate, group_means
from caescope.analysis.columns import Column, parse_category
from caescope.analysis.intervals import accuracy_interval, mean_recall_interval
from caescope.analysis.latents import parse_latents
from caescope.analysis.left_out import logistic, predict_held_out
from caescope.analysis.subject import MAX_CLASSES
from caescope.metrics import encode_labels
from caescope.parsing import parse_seed

__all__ = ["GroupJudgement", "aggregate", "judge_groups"]

FEWEST = 2  # groups of a label, so that one is left to learn from
MOST_LEFT_OUT = 100  # more groups are left out a tenth at a time
FOLDS, REPEATS = 10, 3
SHUFFLES = 200


class GroupJudgement(NamedTuple):
    """What `judge_groups` found.

    Attributes
    ----------
    aggregate : Aggregate
    labels : list
        The label of each group; None where it is unknown, or not one for the whole group.
    facts : dict
        What metrics.json says under ``slides``. Without scores where there are too few groups, and empty
        where the label is not one of groups.
    skipped : str or None
        Why there are no scores.
    """

    aggregate: Aggregate
    labels: list
    facts: dict[str, Any]
    skipped: str | None = None


def judge_groups(
    latents, clusters, groups, labels, baselines: Mapping[str, Any] | None = None, seed: int = 0
) -> GroupJudgement:
    """Ask what the mean latents and the clusters of a whole group, for example a slide, know about its label.

    The label must be the group's: the same for all of its images that have one. Labels of a single group are
    left out, since nothing is left to learn them from; two labels must remain.

    A logistic regression, in which every label has the same weight, reads the standardised mean latents. It
    is fitted on all groups but one and asked about that one, each in turn; of more than 100 groups a tenth is
    left out at a time, three times over, and the guess that most of the three give counts. The same is asked
    of the shares of the clusters, of the means of the baselines, and of a guess that reads nothing: the
    commonest label of the other groups. Where labels are about equally common, that is rarely the label of
    the group left out, so it may be right less often than a coin; the balanced accuracy of shuffled labels is
    the better yardstick.

    With few groups luck goes far, so the labels are also shuffled among the groups, 200 times. ``p`` is the
    share of shuffles, the true order counted among them, with which the mean latents get a balanced accuracy
    at least as high; to be quick, a tenth of the groups is left out at a time, or one of 10 or fewer.

    Parameters
    ----------
    latents, clusters, groups
        As in `aggregate`. They may have been fitted on the groups that are left out here, without labels.
    labels : array_like, shape (n_images,)
        Missing where None, NaN or masked.
    baselines : mapping of str to array_like, shape (n_images, ...), optional
        Other variables of the same images.
    seed : int, 0 to 2**32 - 1

    Returns
    -------
    GroupJudgement
        Its ``facts``: ``groups``, how many are judged, and of how many ``images``; ``labels``, the number of
        groups of each; ``single``, labels left out; ``unlabelled``, groups without a label; ``folds`` and
        ``repeats``. ``latents``, ``clusters``, ``commonest`` and, by name, ``baselines`` each hold
        ``accuracy`` and ``balanced`` accuracy, with the 95 % ``interval`` of both as if the guesses did not
        depend on one another; ``shuffled`` holds the means for shuffled labels, the ``range`` of 95 % of
        them, ``times`` and ``p``.

    Raises
    ------
    DataError, OptionError
        If latents, clusters, groups, labels or the seed cannot be used.

    References
    ----------
    Phipson and Smyth, "Permutation P-values should never be zero: calculating exact P-values when
    permutations are randomly drawn", Statistical Applications in Genetics and Molecular Biology 9, 2010.

    Examples
    --------
    >>> latents, slides = [[0.0], [1.0], [2.0], [9.0], [8.0], [7.0]] * 2, list("abcdef") * 2
    >>> judged = judge_groups(latents, [0] * 12, slides, ["low"] * 3 + ["high"] * 3 + [None] * 6)
    >>> judged.facts["labels"], judged.facts["latents"]["accuracy"], judged.facts["commonest"]["accuracy"]
    ({'high': 3, 'low': 3}, 1.0, 0.0)
    """
    found = aggregate(latents, clusters, groups)
    members, seed = encode_labels(groups, "groups")[0], parse_seed(seed)
    column = parse_category(labels, len(members), "labels")
    codes, mixed = _labels_of_groups(members, column, len(found.names))
    named = [None if code < 0 else column.names[code] for code in codes]
    if reason := _why_not_of_groups(found, column, mixed):
        return GroupJudgement(found, named, {}, reason)
    counts = np.bincount(codes[codes >= 0], minlength=len(column.names))
    kept = (codes >= 0) & (counts[codes] >= FEWEST)
    facts = _describe(found, column.names, codes, counts, kept)
    if reason := _why_too_few(counts):
        return GroupJudgement(found, named, facts | {"skipped": reason}, reason)
    others = {
        name: group_means(parse_latents(table), members, found.images)
        for name, table in (baselines or {}).items()
    }
    tables = {"latents": found.means[kept], "clusters": found.shares[kept]}
    rivals = {name: means[kept] for name, means in others.items()}
    return GroupJudgement(found, named, facts | _ask(tables, rivals, encode_labels(codes[kept])[0], seed))


def _labels_of_groups(members: np.ndarray, column: Column, n_groups: int) -> tuple[np.ndarray, int]:
    """Return the label of each group, -1 where unknown or not one, and how many groups have several."""
    known = column.known
    lowest, highest = np.full(n_groups, len(column.names)), np.full(n_groups, -1)
    np.minimum.at(lowest, members[known], column.codes[known])
    np.maximum.at(highest, members[known], column.codes[known])
    return np.where(lowest == highest, highest, -1), int((lowest < highest).sum())


def _why_not_of_groups(found: Aggregate, column: Column, mixed: int) -> str | None:
    n_groups = len(found.names)
    if n_groups == found.images.sum():
        return "every group is a single image"
    if not column.names:
        return "no label is known"
    if mixed:
        return f"labels differ within {mixed:,} of {n_groups:,} groups, so they are not those of whole groups"
    return None


def _why_too_few(counts: np.ndarray) -> str | None:
    usable = int((counts >= FEWEST).sum())
    if usable > MAX_CLASSES:
        return f"there are more than {MAX_CLASSES} labels"
    return None if usable >= 2 else "two labels at least must be known for two groups or more each"


def _describe(found: Aggregate, names: list, codes, counts: np.ndarray, kept: np.ndarray) -> dict[str, Any]:
    """Return which groups are judged; where too few could be, all that have a label."""
    judged = kept if _why_too_few(counts) is None else codes >= 0
    shown = set(codes[judged].tolist())
    return {
        "groups": int(judged.sum()),
        "images": int(found.images[judged].sum()),
        "labels": {str(name): int(counts[code]) for code, name in enumerate(names) if code in shown},
        "single": [str(name) for code, name in enumerate(names) if code not in shown],
        "unlabelled": int((codes < 0).sum()),
    }


def _ask(
    tables: Mapping[str, np.ndarray], rivals: Mapping[str, np.ndarray], codes: np.ndarray, seed: int
) -> dict[str, Any]:
    """Return the scores of every description of the groups."""
    folds = _draw_folds(codes, MOST_LEFT_OUT, REPEATS, seed)
    probe = logistic("balanced")
    facts: dict[str, Any] = {"folds": int(folds.max()) + 1, "repeats": len(folds)}
    facts |= {name: _score(probe, table, codes, folds) for name, table in tables.items()}
    facts["baselines"] = {name: _score(probe, table, codes, folds) for name, table in rivals.items()}
    facts["commonest"] = _score(DummyClassifier(strategy="most_frequent"), tables["latents"], codes, folds)
    return facts | {"shuffled": _shuffle(tables["latents"], codes, seed)}


def _draw_folds(codes: np.ndarray, most_left_out: int, repeats: int, seed: int) -> np.ndarray:
    """Return the fold of each group, shape (n_repeats, n_groups): its own, or one of ten like the others."""
    n_groups = len(codes)
    if n_groups <= most_left_out:
        return np.arange(n_groups)[None]
    rng, folds = np.random.default_rng(seed), np.empty((repeats, n_groups), np.int64)
    for row in folds:
        order = rng.permutation(n_groups)
        row[order[np.argsort(codes[order], kind="stable")]] = np.arange(n_groups) % FOLDS
    return folds


def _score(model: Any, table: np.ndarray, codes: np.ndarray, folds: np.ndarray) -> dict[str, Any]:
    """Return how often the label of a group that was left out is guessed, in most of the repeats."""
    guesses = [predict_held_out(model, table, codes, row) for row in folds]
    right = mode(guesses, axis=0).mode == codes
    return {
        "accuracy": float(right.mean()),
        "balanced": _balanced(right, codes),
        "interval": {
            "accuracy": list(accuracy_interval(right)),
            "balanced": list(mean_recall_interval(right, codes)),
        },
    }


def _balanced(right: np.ndarray, codes: np.ndarray) -> float:
    return float((np.bincount(codes, right) / np.bincount(codes)).mean())


def _shuffle(table: np.ndarray, codes: np.ndarray, seed: int) -> dict[str, Any]:
    """Return what the probe gets right of shuffled labels, and how often at least as much as of the true."""
    (folds,), rng = _draw_folds(codes, FOLDS, 1, seed), np.random.default_rng(seed)
    # To shuffle the groups is to shuffle their labels, and leaves every fold its share of each label
    orders = [np.arange(len(codes)), *(rng.permutation(len(codes)) for _ in range(SHUFFLES))]
    with threadpool_limits(1, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rights = [_guess_right(table[order], codes, folds) for order in orders]
    balanced = np.array([_balanced(right, codes) for right in rights])
    scores = {"accuracy": np.mean(rights, axis=1)[1:], "balanced": balanced[1:]}
    return {
        "times": SHUFFLES,
        "p": float((balanced >= balanced[0] - 1e-9).mean()),
        **{name: float(values.mean()) for name, values in scores.items()},
        "range": {name: np.percentile(values, [2.5, 97.5]).tolist() for name, values in scores.items()},
    }


def _guess_right(table: np.ndarray, codes: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return which groups' labels are guessed; as `predict_held_out`, without what that does for each fit."""
    model, right = logistic("balanced"), np.empty(len(codes), bool)
    for fold in range(folds.max() + 1):
        out = folds == fold
        right[out] = model.fit(table[~out], codes[~out]).predict(table[out]) == codes[out]
    return right

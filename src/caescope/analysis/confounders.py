"""What else the latents know: the slide, the scanner, the brightness, rather than the label."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import RidgeCV
from sklearn.metrics import adjusted_mutual_info_score, balanced_accuracy_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from caescope.analysis.columns import FEWEST, Column, parse_category, parse_column, why_useless
from caescope.analysis.intervals import Interval, balanced_interval, mean_interval
from caescope.analysis.latents import parse_latents
from caescope.analysis.left_out import (
    SAMPLE,
    draw_sample,
    fold_numbers,
    leave_one_group_out,
    logistic,
    predict_held_out,
)
from caescope.errors import DataError, OptionError
from caescope.metrics import cluster_entropy, encode_labels
from caescope.parsing import parse_seed

__all__ = ["follows", "judge_confounder", "judge_confounders", "leave_one_group_out"]

MOST_VALUES = 50  # of a category, in a cross-validation
FOLDS = FEWEST
TRIVIAL, ALONE, MARGIN = 0.1, 0.3, 0.02


def judge_confounder(latents, values, clusters, seed: int = 0) -> dict[str, Any]:
    """Measure how well latents predict one column, and how far clusters agree with it.

    **Categories** (strings, booleans, whole numbers of at most 50 different values) are predicted by a
    logistic regression whose classes have the same weight; the score is the balanced accuracy over 5
    stratified folds. It counts the 50 commonest values, those with at least 5 images (rarer ones cannot be
    in every fold), and at most 10,000 images, of each value as many.

    **Numbers** (all others) are predicted by a ridge regression whose penalty is chosen within the training
    folds; the score is R² over 5 folds of at most 10,000 images, against a guess of the training folds' mean
    (below 0: worse than that). For agreement and entropy a number is replaced by its quarter: which of four
    equally large groups, from low to high, it belongs to.

    Latents are standardised by the training folds. Images where the column is missing are left out.

    Parameters
    ----------
    latents : array_like, shape (n_images, ...)
    values : array_like, shape (n_images,)
        Missing where None, NaN or masked.
    clusters : array_like, shape (n_images,)
    seed : int, 0 to 2**32 - 1
        Draws sample, folds and bootstrap.

    Returns
    -------
    dict
        ``kind``, "category" or "number"; ``values``, how many different ones; ``missing``, in how many
        images; ``images``, how many the score counts; ``score``; ``chance``, the score of a guess, which is
        1 / number of classes or 0; ``interval`` (95 %) of the score, as if the folds' models were one;
        ``agreement``, the adjusted mutual information (AMI) of clusters and column, at most 1 and 0 by
        chance; ``entropy``, of the column in each cluster, bits, by the cluster's name.

    Raises
    ------
    DataError
        If latents, values or clusters cannot be used, or nothing can be learnt from the column: it is the
        same or different for every image, has fewer than two values with 5 images, or is missing.
    OptionError
        If the seed is out of range.

    References
    ----------
    Vinh, Epps and Bailey, "Information theoretic measures for clusterings comparison", Journal of Machine
    Learning Research 11, 2010; scikit-learn's ``adjusted_mutual_info_score``.

    Examples
    --------
    >>> latents = [[i % 2, i] for i in range(20)]
    >>> judged = judge_confounder(latents, ["left", "right"] * 10, [0] * 10 + [1] * 10)
    >>> judged["kind"], judged["score"], judged["chance"], judged["entropy"]
    ('category', 1.0, 0.5, {'0': 1.0, '1': 1.0})
    """
    table = parse_latents(latents).astype(np.float64)
    column = parse_column(values, len(table))
    if reason := why_useless(column):
        must = "values must differ between images, and recur where they are names"
        raise DataError(must, f"values {reason}", "Leave the column out.")
    return _judge(table, column, _parse_clusters(clusters, len(table)), parse_seed(seed))


def judge_confounders(
    latents,
    columns: Mapping[str, Any],
    clusters,
    labels=None,
    groups: Collection[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Judge every column, and say which of them the clusters follow rather than the label.

    Parameters
    ----------
    latents : array_like, shape (n_images, ...)
    columns : mapping of str to array_like, shape (n_images,)
        Missing where None, NaN or masked.
    clusters : array_like, shape (n_images,)
    labels : array_like, shape (n_images,), optional
        Missing as in columns; what concerns the label is measured where it is known.
    groups : collection of str, optional
        Columns that are left out group by group (`leave_one_group_out`), where there are labels; by default
        every category.
    seed : int, 0 to 2**32 - 1

    Returns
    -------
    dict
        ``label``: {"agreement": AMI of clusters and labels}, only with labels. ``columns``: for each what
        `judge_confounder` says; for categories beside labels also ``one_label``, whether all images of each
        value have the same label, and ``left_out``, unless no label occurs in two groups. ``skipped``: for
        each column that says nothing, why. ``followed``: columns for which `follows` holds, strongest first.

    Raises
    ------
    DataError
        If latents, a column, clusters or labels cannot be used.
    OptionError
        If ``groups`` has a name that is not a column's, or the seed is out of range.

    Examples
    --------
    >>> latents = [[i % 2, i] for i in range(40)]
    >>> columns = {"side": ["left", "right"] * 20, "site": ["A"] * 40}
    >>> judged = judge_confounders(latents, columns, clusters=[0, 1] * 20)
    >>> judged["followed"], judged["skipped"]
    (['side'], {'site': 'the same for every image'})
    """
    table = parse_latents(latents).astype(np.float64)
    n_images, seed = len(table), parse_seed(seed)
    rows = _parse_clusters(clusters, n_images)
    parsed = {name: parse_column(values, n_images, f"column {name}") for name, values in columns.items()}
    wanted = _parse_groups(groups, parsed)
    label = None if labels is None else parse_category(labels, n_images, "labels")
    skipped = {name: reason for name, column in parsed.items() if (reason := why_useless(column))}
    judged = {name: _judge(table, parsed[name], rows, seed) for name in parsed if name not in skipped}
    if label is None:
        return {"columns": judged, "skipped": skipped, "followed": _followed(judged, None)}
    for name in judged:
        judged[name] |= _beside_label(table, label, parsed[name], name in wanted, seed)
    agreement = _agreement(label, rows)
    followed = _followed(judged, agreement)
    return {"label": {"agreement": agreement}, "columns": judged, "skipped": skipped, "followed": followed}


def follows(agreement: float, of_label: float | None = None) -> bool:
    """Say whether clusters follow a column rather than the label.

    They do if the column agrees with them at all (AMI of at least 0.1; less is no more than a trace) and
    better than the label does, by more than 0.02, so that a column which is nearly the label itself does not
    count. Without labels there is nothing to compare with, and the column must agree well by itself (0.3).

    AMI charges a column for values that the clusters do not tell apart. This is what makes the rule fair
    where every slide has one label: such slides share with any clusters at least what the label shares, but
    as they have more values, clusters of the label alone agree better with the label, and the slide is named
    only where it explains a good deal beyond it. It says "more than the label", not "instead of it": clusters
    that are slides are pure in such a label, too, and where clusters are combinations of column and label,
    the one with more values agrees better; the entropy of the column in the clusters shows that. Where a
    slide is the label by another name (one slide for each label) nothing can tell the two apart, and it is
    not named.

    Parameters
    ----------
    agreement : float, at most 1
        AMI of the clusters and the column.
    of_label : float, at most 1, optional
        AMI of the clusters and the label; None without labels.

    Examples
    --------
    >>> follows(0.6, of_label=0.2), follows(0.2, of_label=0.6), follows(0.05, of_label=0.0), follows(0.6)
    (True, False, False, True)
    """
    if of_label is None:
        return agreement >= ALONE
    return agreement >= TRIVIAL and agreement > of_label + MARGIN


def _followed(judged: Mapping[str, dict], of_label: float | None) -> list[str]:
    names = [name for name, facts in judged.items() if follows(facts["agreement"], of_label)]
    return sorted(names, key=lambda name: -judged[name]["agreement"])


def _judge(table: np.ndarray, column: Column, clusters: np.ndarray, seed: int) -> dict[str, Any]:
    known = column.known
    if column.numbers is None:
        score = _score_category(table[known], column.codes[known], seed)
    else:
        score = _score_number(table[known], column.numbers[known], seed)
    entropies = cluster_entropy(clusters[known], column.codes[known])
    return {
        "kind": column.kind,
        "values": len(column.names),
        "missing": int((~known).sum()),
        **score,
        "agreement": _agreement(column, clusters),
        "entropy": {str(cluster): bits for cluster, bits in entropies.items()},
    }


def _agreement(column: Column, clusters: np.ndarray) -> float:
    known = column.known
    return float(adjusted_mutual_info_score(column.codes[known], clusters[known]))


def _score_category(table: np.ndarray, codes: np.ndarray, seed: int) -> dict[str, Any]:
    rows = _even_sample(codes, seed)
    table, codes = table[rows], codes[rows]
    folds = fold_numbers(StratifiedKFold(FOLDS, shuffle=True, random_state=seed), codes)
    predicted = predict_held_out(logistic("balanced"), table, codes, folds)
    return {
        "images": len(rows),
        "score": float(balanced_accuracy_score(codes, predicted)),
        "chance": 1 / len(np.unique(codes)),
        "interval": balanced_interval(predicted == codes, codes, seed=seed),
    }


def _even_sample(codes: np.ndarray, seed: int) -> np.ndarray:
    """Return images of the commonest values, of each at most its part of the sample."""
    counts = np.bincount(codes)
    common = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    common = common[counts[common] >= FOLDS]
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(codes == value))[: SAMPLE // len(common)] for value in common]
    return np.sort(np.concatenate(rows))


def _score_number(table: np.ndarray, numbers: np.ndarray, seed: int) -> dict[str, Any]:
    rows = draw_sample(len(table), seed)
    # Without the unit: squares of very large numbers would overflow
    table, values = table[rows], numbers[rows] / np.abs(numbers).max()
    folds = fold_numbers(KFold(FOLDS, shuffle=True, random_state=seed), values)
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 6, 9)))
    predicted, guessed = (predict_held_out(m, table, values, folds) for m in (ridge, DummyRegressor()))
    score, interval = _r2((values - predicted) ** 2, (values - guessed) ** 2, seed)
    return {"images": len(rows), "score": score, "chance": 0.0, "interval": interval}


def _r2(errors: np.ndarray, deviations: np.ndarray, seed: int) -> tuple[float, Interval]:
    """Return R² and its 95 % interval; R² is a ratio of means, so each image counts by its linear part."""
    if not deviations.any():  # the few images that differ are not in the sample
        return 0.0, (0.0, 0.0)
    score = 1 - errors.sum() / deviations.sum()
    parts = score + ((1 - score) * deviations - errors) / deviations.mean()
    low, high = mean_interval(parts, seed=seed)
    return float(score), (low, min(high, 1.0))


def _beside_label(table, label: Column, column: Column, leave_out: bool, seed: int) -> dict[str, Any]:
    """Return what is said of a category where there are labels; of a number there is nothing to say."""
    both = label.known & column.known
    codes, groups = label.codes[both], column.codes[both]
    n_labels, n_groups = len(np.unique(codes)), len(np.unique(groups))
    if column.kind != "category" or n_labels < 2 or n_groups < 2:
        return {}
    found: dict[str, Any] = {"one_label": len(np.unique(groups * len(label.names) + codes)) == n_groups}
    if leave_out:
        names = np.array(column.names, object)[groups]
        left_out = leave_one_group_out(table[both], codes, names, seed)
        # Where no label occurs in two groups the probe must fail whatever the latents are
        found |= {"left_out": left_out} if left_out.get("unseen", 1.0) < 1 else {}
    return found


def _parse_clusters(clusters, n_images: int) -> np.ndarray:
    codes, names = encode_labels(clusters, "clusters")
    if len(codes) != n_images:
        raise DataError(
            "clusters must hold one value for each image",
            f"{len(codes)} clusters for {n_images} images",
            "Give both for the same images, in the same order.",
        )
    return np.array(names)[codes]


def _parse_groups(groups: Collection[str] | None, columns: Mapping[str, Column]) -> list[str]:
    """Return the names of the columns to leave out group by group."""
    wanted = list(columns) if groups is None else list(groups)
    if unknown := [name for name in wanted if name not in columns]:
        raise OptionError(
            f"groups must be columns: {', '.join(columns) or 'there are none'}",
            f"{unknown[0]!r}",
            "Leave it out, or give that column, too.",
        )
    return wanted

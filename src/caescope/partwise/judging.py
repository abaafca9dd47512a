"""What metrics.json says of everything: figures from the totals over all images."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from caescope.analysis.agreement import judge_counts, match_counts
from caescope.analysis.intervals import counted_interval
from caescope.analysis.judging import MAX_COMPONENTS
from caescope.analysis.label_counts import LabelCounts
from caescope.data.sources import SPLITS
from caescope.metrics import encode_labels
from caescope.partwise.assigning import ANSWERS, MAIN, PREDICTED, Fitted
from caescope.partwise.fitting import LATENTS, MATCHED
from caescope.partwise.totals import Totals

MEANS = ("gini_mean", "entropy_mean", "purity")


def judge_totals(totals: Totals, fitted: Fitted) -> dict[str, Any]:
    """Return the figures of everything; without labels, those that need them are absent."""
    counted = dict(zip(SPLITS, totals.splits.tolist(), strict=True))
    found: dict[str, Any] = {
        "images": len(totals),
        "splits": counted,
        "latents": {"features": len(totals.moments.mean), "dead": totals.moments.dead},
        "clusters": _clusters(totals),
    }
    ratio = totals.moments.explained_variance_ratio[:MAX_COMPONENTS].tolist()
    if ratio:
        found["projection"] = {"pca": {"explained_variance_ratio": ratio}}
    if totals.errors is not None:
        sums = dict(zip(SPLITS, totals.errors.tolist(), strict=True))
        found["reconstruction"] = {name: {"mse": sums[name] / n} for name, n in counted.items() if n}
    return found | (_of_labels(totals, fitted) if totals.labels else {})


def _clusters(totals: Totals) -> dict[str, Any]:
    """Return the clusters' sizes and, where labels were counted, how mixed they are."""
    *sizes, none = totals.clusters.tolist()
    facts = {"k": len(sizes), "sizes": {str(i): size for i, size in enumerate(sizes)}, "none": none}
    if not totals.labels:
        return facts
    latents = _mixed(totals.labels[LATENTS])
    means = {name: latents[name] for name in MEANS if name in latents}
    return facts | _mixed(totals.labels[MAIN]) | {"latents": means}


def _of_labels(totals: Totals, fitted: Fitted) -> dict[str, Any]:
    """Return what else needs labels: how often each is there, matched clusters, and the probe."""
    every = totals.labels[LATENTS]  # KMeans leaves nothing out, as HDBSCAN does
    counts = every.table.sum(axis=0).tolist()
    found: dict[str, Any] = {
        "labels": {
            "classes": len(counts),
            "missing": len(totals) - sum(counts),
            "counts": {str(name): n for name, n in zip(every.names, counts, strict=True)},
        },
    }
    if matched := _matched(totals.labels):
        found["matched"] = matched
    if totals.labels[PREDICTED].table.any():
        found["probe"] = {"logistic_ovr": _probe(totals, fitted)}
    return found


def _mixed(counts: LabelCounts) -> dict[str, Any]:
    """Return how mixed the labels in each cluster are."""
    if not counts.table.any():
        return {}
    return judge_counts(counts.table, [str(row) for row in range(len(counts.table))])


def _matched(labels: Mapping[str, LabelCounts]) -> dict[str, Any]:
    """Return how clusterings with as many clusters as the sample has labels agree with those of all."""
    tables = {space: labels[name].table for space, name in MATCHED.items() if name in labels}
    found = {space: match_counts(table) for space, table in tables.items() if table.any()}
    on_map = {"k": len(tables["map"])} | found["map"] if "map" in found else {}
    return on_map | ({"latents": found["latents"]} if "latents" in found else {})


def _probe(totals: Totals, fitted: Fitted) -> dict[str, Any]:
    """Return what the sample's logistic regression tells of all test images."""
    assert fitted.probe is not None
    confusion, classes = confusion_of(totals.labels[PREDICTED], fitted.probe.names)
    counts, right = confusion.sum(axis=1), np.diag(confusion)
    wrong_and_right = totals.labels[ANSWERS].table
    interval = counted_interval(wrong_and_right[1], wrong_and_right.sum(axis=0), fitted.split.seed)
    occurs = counts > 0
    return {
        "test": float(right.sum() / counts.sum()),
        "balanced": float((right[occurs] / counts[occurs]).mean()),
        "images": int(counts.sum()),
        "interval": {"test": list(interval)},
        "converged": fitted.probe.converged,
        "classes": classes,
        "confusion": confusion.tolist(),
    }


def confusion_of(predicted: LabelCounts, names: list) -> tuple[np.ndarray, list]:
    """Return counts with true labels in rows and predicted ones in columns, and what both stand for.

    >>> predicted = LabelCounts(np.array([[3, 1, 0], [0, 2, 4]]), ["ape", "cat", "dog"])
    >>> confusion_of(predicted, ["cat", "dog"])
    (array([[0, 3, 0], [0, 1, 2], [0, 0, 4]]), ['ape', 'cat', 'dog'])
    """
    codes, classes = encode_labels([*names, *predicted.names])
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    confusion[np.ix_(codes[len(names) :], codes[: len(names)])] = predicted.table.T
    return confusion, classes

"""What a probe has to say: its accuracies, their intervals, and which labels it mistakes for which."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import classification_report, confusion_matrix

from caescope.analysis.intervals import Interval, accuracy_interval, balanced_interval
from caescope.analysis.probe_sets import ProbeSets


@dataclass(frozen=True, eq=False, repr=False)
class Probe:
    """What a simple supervised model could tell about the labels.

    Attributes
    ----------
    method : str
        "logistic_ovr", "logistic_multinomial" or "knn".
    classes : list
        All labels of training and test set, sorted, as plain Python values.
    train : float, in [0, 1]
        Accuracy on the training set.
    test : float, in [0, 1]
        Accuracy on the test set.
    balanced : float, in [0, 1]
        Balanced accuracy on the test set: the mean recall over the labels that occur in it.
    interval : dict of str to (float, float)
        95 % intervals of ``test`` and ``balanced``, under these names; see `caescope.analysis.intervals`.
    confusion : numpy.ndarray, shape (n_classes, n_classes), int64
        Counts on the test set: rows are the true labels, columns what was predicted.
    report : dict
        Precision, recall, F1 score and support by class on the test set: scikit-learn's
        ``classification_report`` as a dictionary.
    converged : bool
        Whether the fit came to its end within the iterations that it had.
    """

    method: str
    classes: list
    train: float
    test: float
    balanced: float
    interval: dict[str, Interval]
    confusion: np.ndarray
    report: dict[str, Any]
    converged: bool

    def __repr__(self) -> str:
        scores = f"train={self.train:.3f}, test={self.test:.3f}"
        return f"Probe({self.method!r}, {len(self.classes)} classes, {scores})"


def score_probe(method: str, sets: ProbeSets, train: np.ndarray, test: np.ndarray, converged: bool) -> Probe:
    """Return the probe whose predictions for both sets are given, as codes."""
    every = list(range(len(sets.names)))
    texts = [str(name) for name in sets.names]
    report: Any = classification_report(
        sets.test_codes,
        test,
        labels=every,
        target_names=texts,
        output_dict=True,
        zero_division=0,  # pyright: ignore[reportArgumentType]
    )
    right = test == sets.test_codes
    confusion = confusion_matrix(sets.test_codes, test, labels=every)
    return Probe(
        method=method,
        classes=sets.names,
        train=float((train == sets.train_codes).mean()),
        test=float(right.mean()),
        balanced=_balanced_accuracy(confusion),
        interval={
            "test": accuracy_interval(right, sets.test_groups),
            "balanced": balanced_interval(right, sets.test_codes, sets.test_groups),
        },
        confusion=confusion,
        report=report,
        converged=converged,
    )


def _balanced_accuracy(confusion: np.ndarray) -> float:
    counts = confusion.sum(axis=1)
    occurs = counts > 0
    return float((np.diag(confusion)[occurs] / counts[occurs]).mean())

"""What latents know about labels, asked of simple supervised models."""

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import classification_report, confusion_matrix
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from caescope.analysis.latents import parse_latents
from caescope.errors import DataError
from caescope.metrics import encode_labels
from caescope.parsing import parse_integer, parse_seed


@dataclass(frozen=True, eq=False, repr=False)
class Probe:
    """What a simple supervised model could tell about the labels.

    Attributes
    ----------
    method : str
        "logistic_ovr" or "knn".
    classes : list
        All labels of training and test set, sorted, as plain Python values.
    train : float, in [0, 1]
        Accuracy on the training set.
    test : float, in [0, 1]
        Accuracy on the test set.
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
    confusion: np.ndarray
    report: dict[str, Any]
    converged: bool

    def __repr__(self) -> str:
        scores = f"train={self.train:.3f}, test={self.test:.3f}"
        return f"Probe({self.method!r}, {len(self.classes)} classes, {scores})"


class _Sets(NamedTuple):
    """Training and test set in their normal form; labels are positions in ``names``."""

    train: np.ndarray
    train_codes: np.ndarray
    test: np.ndarray
    test_codes: np.ndarray
    names: list


def logistic_ovr(
    train_latents, train_labels, test_latents, test_labels, max_iter: int = 200, seed: int = 0
) -> Probe:
    """Ask one logistic regression for each label: this one, or any other?

    Latents are standardised with the training set's mean and standard deviation; the regression is fitted
    with L-BFGS and an L2 penalty of strength 1 (scikit-learn's default); the most confident one decides.

    Parameters
    ----------
    train_latents, test_latents : array_like, shape (n_images, ...)
    train_labels, test_labels : array_like, shape (n_images,)
        Of any kind. A label that only the test set has cannot be predicted and counts as an error.
    max_iter : int, at least 1
        Iterations for each label; where they do not suffice, ``converged`` is False.
    seed : int
        Kept for solvers that draw numbers; L-BFGS draws none, so the result is the same for each.

    Returns
    -------
    Probe

    Raises
    ------
    DataError
        If latents or labels cannot be used, or the training set has only one label.
    OptionError
        If ``max_iter`` or ``seed`` is out of range.

    Examples
    --------
    >>> logistic_ovr([[0], [1], [8], [9]], ["low", "low", "high", "high"], [[2], [7]], ["low", "high"])
    Probe('logistic_ovr', 2 classes, train=1.000, test=1.000)
    """
    sets = _parse_sets(train_latents, train_labels, test_latents, test_labels)
    iterations = parse_integer(max_iter, "max_iter", 1)
    scaler = StandardScaler().fit(sets.train)
    train, test = scaler.transform(sets.train), scaler.transform(sets.test)
    model = OneVsRestClassifier(LogisticRegression(max_iter=iterations, random_state=parse_seed(seed)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(train, sets.train_codes)
    predicted = (np.asarray(model.predict(table)) for table in (train, test))
    return _score("logistic_ovr", sets, *predicted, converged=not caught)


def knn(train_latents, train_labels, test_latents, test_labels, neighbours: int = 5) -> Probe:
    """Ask the nearest training images; the majority decides.

    Distances are Euclidean, of the latents as they are.

    Parameters
    ----------
    train_latents, test_latents : array_like, shape (n_images, ...)
    train_labels, test_labels : array_like, shape (n_images,)
        Of any kind. A label that only the test set has cannot be predicted and counts as an error.
    neighbours : int, at least 1
        Of a tie, the first label in sorted order wins. Fewer where the training set has no more.

    Returns
    -------
    Probe
        ``train`` is the leave-one-out accuracy: no image is its own neighbour.

    Raises
    ------
    DataError
        If latents or labels cannot be used, or the training set has only one label.
    OptionError
        If ``neighbours`` is below 1.

    References
    ----------
    Cover and Hart, "Nearest neighbor pattern classification", IEEE Transactions on Information Theory 13,
    1967.

    Examples
    --------
    >>> knn([[0], [1], [8], [9]], ["low", "low", "high", "high"], [[2], [7]], ["low", "high"], neighbours=1)
    Probe('knn', 2 classes, train=1.000, test=1.000)
    """
    sets = _parse_sets(train_latents, train_labels, test_latents, test_labels)
    wanted = min(parse_integer(neighbours, "neighbours", 1), len(sets.train) - 1)
    index = NearestNeighbors(n_neighbors=wanted).fit(sets.train)
    nearest = index.kneighbors(return_distance=False), index.kneighbors(sets.test, return_distance=False)
    train, test = (_majority(sets.train_codes[rows], len(sets.names)) for rows in nearest)
    return _score("knn", sets, train, test, converged=True)


def _majority(codes: np.ndarray, n_names: int) -> np.ndarray:
    """Return the commonest code of each row of ``codes``, shape (n_images, neighbours)."""
    votes = np.zeros((len(codes), n_names), np.int32)
    np.add.at(votes, (np.arange(len(codes))[:, None], codes), 1)
    return votes.argmax(axis=1)


def _parse_sets(train_latents, train_labels, test_latents, test_labels) -> _Sets:
    train = parse_latents(train_latents, "train_latents")
    test = parse_latents(test_latents, "test_latents", features=train.shape[1])
    train_codes, train_names = encode_labels(train_labels, "train_labels")
    test_codes, test_names = encode_labels(test_labels, "test_labels")
    _demand_length(train_codes, train, "train")
    _demand_length(test_codes, test, "test")
    if len(train_names) < 2:
        raise DataError(
            "train_labels must have at least two different labels",
            f"only {train_names[0]!r}",
            "Add images of another label; a probe cannot tell one from nothing.",
        )
    codes, names = encode_labels(train_names + test_names)
    of_train, of_test = np.split(codes, [len(train_names)])
    doubles = train.astype(np.float64), test.astype(np.float64)
    return _Sets(doubles[0], of_train[train_codes], doubles[1], of_test[test_codes], names)


def _demand_length(codes: np.ndarray, latents: np.ndarray, name: str) -> None:
    if len(codes) != len(latents):
        raise DataError(
            f"{name}_labels must hold one label for each image",
            f"{len(codes)} labels for {len(latents)} images",
            "Give both for the same images, in the same order.",
        )


def _score(method: str, sets: _Sets, train: np.ndarray, test: np.ndarray, converged: bool) -> Probe:
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
    return Probe(
        method=method,
        classes=sets.names,
        train=float((train == sets.train_codes).mean()),
        test=float((test == sets.test_codes).mean()),
        confusion=confusion_matrix(sets.test_codes, test, labels=every),
        report=report,
        converged=converged,
    )

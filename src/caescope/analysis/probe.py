"""What latents know about labels, asked of simple supervised models."""

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from caescope.analysis.latents import parse_latents
from caescope.analysis.probe_scores import Probe, score_probe
from caescope.analysis.probe_sets import ProbeSets, parse_sets
from caescope.parsing import parse_integer, parse_seed

__all__ = [
    "FittedProbe",
    "Probe",
    "compare_probes",
    "fit_logistic_ovr",
    "fit_quietly",
    "knn",
    "logistic_multinomial",
    "logistic_ovr",
]


def logistic_ovr(
    train_latents,
    train_labels,
    test_latents,
    test_labels,
    max_iter: int = 200,
    seed: int = 0,
    *,
    test_groups=None,
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
    test_groups : array_like, shape (n_test_images,), optional
        The slide or patient of each test image: the intervals then count groups, not images.

    Returns
    -------
    Probe

    Raises
    ------
    DataError
        If latents, labels or groups cannot be used, or the training set has only one label.
    OptionError
        If ``max_iter`` or ``seed`` is out of range.

    Examples
    --------
    >>> logistic_ovr([[0], [1], [8], [9]], ["low", "low", "high", "high"], [[2], [7]], ["low", "high"])
    Probe('logistic_ovr', 2 classes, train=1.000, test=1.000)
    """
    sets = parse_sets(train_latents, train_labels, test_latents, test_labels, test_groups)
    return _ask("logistic_ovr", _one_versus_rest(max_iter, seed), sets)


class FittedProbe(NamedTuple):
    """A probe that can be asked about other images, in parts.

    ``model`` is of scikit-learn, ``names`` are the labels that it was fitted on, sorted, and ``converged``
    tells whether the fit came to its end.
    """

    model: Any
    names: list
    converged: bool

    def predict(self, latents) -> np.ndarray:
        """Return the position among the names of what each image is taken for, shape (n_images,), int."""
        table = parse_latents(latents, features=self.model.n_features_in_)
        return self.model.predict(table.astype(np.float64))


def fit_logistic_ovr(latents, labels, max_iter: int = 200, seed: int = 0) -> FittedProbe:
    """Fit what `logistic_ovr` asks, for more images than fit in memory.

    Parameters
    ----------
    latents : array_like, shape (n_images, ...)
    labels : array_like, shape (n_images,)
        None missing, at least two different ones.
    max_iter, seed
        As in `logistic_ovr`.

    Raises
    ------
    DataError, OptionError
        As `logistic_ovr`.

    Examples
    --------
    >>> probe = fit_logistic_ovr([[0], [1], [8], [9]], ["low", "low", "high", "high"])
    >>> [probe.names[code] for code in probe.predict([[2], [7]])]
    ['low', 'high']
    """
    sets = parse_sets(latents, labels, latents, labels)
    model = make_pipeline(StandardScaler(), _one_versus_rest(max_iter, seed))
    return FittedProbe(model, sets.names, fit_quietly(model, sets.train, sets.train_codes))


def logistic_multinomial(
    train_latents,
    train_labels,
    test_latents,
    test_labels,
    max_iter: int = 200,
    seed: int = 0,
    *,
    test_groups=None,
) -> Probe:
    """Ask one logistic regression for the chances of all labels together (softmax).

    Latents are standardised and the regression is fitted as in `logistic_ovr`; with two labels it is the
    same regression.

    Parameters
    ----------
    train_latents, train_labels, test_latents, test_labels, max_iter, seed, test_groups
        As in `logistic_ovr`.

    Returns
    -------
    Probe

    Raises
    ------
    DataError, OptionError
        As `logistic_ovr`.

    References
    ----------
    Bishop, *Pattern Recognition and Machine Learning*, 2006, section 4.3.4.

    Examples
    --------
    >>> low_or_high = ["low", "low", "high", "high"]
    >>> logistic_multinomial([[0], [1], [8], [9]], low_or_high, [[2], [7]], ["low", "high"])
    Probe('logistic_multinomial', 2 classes, train=1.000, test=1.000)
    """
    sets = parse_sets(train_latents, train_labels, test_latents, test_labels, test_groups)
    return _ask("logistic_multinomial", _regression(max_iter, seed), sets)


def knn(
    train_latents, train_labels, test_latents, test_labels, neighbours: int = 5, *, test_groups=None
) -> Probe:
    """Ask the nearest training images; the majority decides.

    Distances are Euclidean, of the latents as they are.

    Parameters
    ----------
    train_latents, test_latents : array_like, shape (n_images, ...)
    train_labels, test_labels : array_like, shape (n_images,)
        Of any kind. A label that only the test set has cannot be predicted and counts as an error.
    neighbours : int, at least 1
        Of a tie, the first label in sorted order wins. Fewer where the training set has no more.
    test_groups
        As in `logistic_ovr`.

    Returns
    -------
    Probe
        ``train`` is the leave-one-out accuracy: no image is its own neighbour.

    Raises
    ------
    DataError
        If latents, labels or groups cannot be used, or the training set has only one label.
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
    sets = parse_sets(train_latents, train_labels, test_latents, test_labels, test_groups)
    wanted = min(parse_integer(neighbours, "neighbours", 1), len(sets.train) - 1)
    index = NearestNeighbors(n_neighbors=wanted).fit(sets.train)
    nearest = index.kneighbors(return_distance=False), index.kneighbors(sets.test, return_distance=False)
    train, test = (_majority(sets.train_codes[rows], len(sets.names)) for rows in nearest)
    return score_probe("knn", sets, train, test, converged=True)


def compare_probes(
    sets: Mapping[str, tuple], train_labels, test_labels, test_groups=None, seed: int = 0
) -> dict[str, dict[str, Probe]]:
    """Ask the three probes about several sets of variables of the same images.

    Parameters
    ----------
    sets : mapping of str to (train_latents, test_latents)
        For example the latents, and as baselines as many principal components and a histogram.
    train_labels, test_labels, test_groups, seed
        As in `logistic_ovr`.

    Returns
    -------
    dict of str to dict of str to Probe
        For each set "logistic_ovr", "logistic_multinomial" and "knn", with their default options.

    Raises
    ------
    DataError, OptionError
        As `logistic_ovr`.

    Examples
    --------
    >>> train, test = [[0], [1], [8], [9]], [[2], [7]]
    >>> compared = compare_probes({"latents": (train, test)}, [0, 0, 1, 1], [0, 1])
    >>> list(compared["latents"])
    ['logistic_ovr', 'logistic_multinomial', 'knn']
    """
    methods = {
        "logistic_ovr": partial(logistic_ovr, seed=seed),
        "logistic_multinomial": partial(logistic_multinomial, seed=seed),
        "knn": knn,
    }
    return {
        name: {
            method: probe(train, train_labels, test, test_labels, test_groups=test_groups)
            for method, probe in methods.items()
        }
        for name, (train, test) in sets.items()
    }


def fit_quietly(model: Any, table: np.ndarray, codes: np.ndarray) -> bool:
    """Fit a model and return whether it converged, in place of a warning that it did not."""
    # For tables as narrow as latents, threads of linear algebra wait for one another more than they work
    with warnings.catch_warnings(record=True) as caught, threadpool_limits(1, "blas"):
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(table, codes)
    return not caught


def _one_versus_rest(max_iter: int, seed: int) -> OneVsRestClassifier:
    return OneVsRestClassifier(_regression(max_iter, seed))


def _regression(max_iter: int, seed: int) -> LogisticRegression:
    return LogisticRegression(max_iter=parse_integer(max_iter, "max_iter", 1), random_state=parse_seed(seed))


def _ask(method: str, model: Any, sets: ProbeSets) -> Probe:
    """Fit a scikit-learn classifier on standardised latents and score it."""
    scaled = make_pipeline(StandardScaler(), model)
    converged = fit_quietly(scaled, sets.train, sets.train_codes)
    return score_probe(method, sets, scaled.predict(sets.train), scaled.predict(sets.test), converged)


def _majority(codes: np.ndarray, n_names: int) -> np.ndarray:
    """Return the commonest code of each row of ``codes``, shape (n_images, neighbours)."""
    votes = np.zeros((len(codes), n_names), np.int32)
    np.add.at(votes, (np.arange(len(codes))[:, None], codes), 1)
    return votes.argmax(axis=1)

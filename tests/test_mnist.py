"""The figures that the tutorial promises on MNIST, for two seeds; the test of its notebook is for a third.

Maps take the longest, so that of the second seed is left to the notebook.
"""

from functools import cache

import numpy as np
import pytest
import torch

from caescope import CAE, data, metrics
from caescope.analysis.clustering import kmeans
from caescope.analysis.latents import audit_latents
from caescope.analysis.probe import logistic_ovr
from caescope.analysis.projection import TSNEMap
from caescope.model.precision import parse_precision

pytestmark = pytest.mark.slow

SEEDS = (1, 2)
CHOSEN = parse_precision("auto", torch.device("cpu"))


@pytest.fixture(scope="module")
def mnist(shared_data):
    (x_train, y_train), _, (x_test, y_test) = data.load_mnist_pickle(shared_data / "mnist" / "mnist.pkl.gz")
    return x_train.reshape(-1, 28, 28, 1), y_train, x_test.reshape(-1, 28, 28, 1), y_test


@pytest.fixture(scope="module")
def fitted(mnist):
    """What gives an autoencoder after five epochs; the same one when it is asked again."""

    @cache
    def fit(precision: str, seed: int) -> CAE:
        cae = CAE((28, 28, 1), 20, [8, 16], seed=seed, device="cpu", precision=precision)
        cae.model.fit(mnist[0], epochs=5, verbose=2)
        return cae

    return fit


@pytest.fixture(scope="module", params=SEEDS, ids="seed {}".format)
def trained(request, fitted):
    """An autoencoder with the library's own defaults."""
    return fitted(CHOSEN, request.param), request.param


def test_five_epochs_rebuild_the_digits(trained, mnist):
    cae, _ = trained
    train, test = cae.model.evaluate(mnist[0]), cae.model.evaluate(mnist[2])
    assert test <= 0.0100
    assert abs(test - train) <= 0.05 * train


def test_the_latents_know_the_digits(trained, mnist):
    cae, seed = trained
    x_train, y_train, x_test, y_test = mnist
    latents = cae.encoder.predict(x_train)
    assert audit_latents(latents)["dead"] == 0
    assert logistic_ovr(latents, y_train, cae.encoder.predict(x_test), y_test, seed=seed).test >= 0.905


def test_clusters_of_their_map_are_pure(fitted, mnist):
    seed = SEEDS[0]
    latents = fitted(CHOSEN, seed).encoder.predict(mnist[0])
    clusters = kmeans(TSNEMap(perplexity=40, seed=seed).fit_transform(latents), k=20, seed=seed)
    ginis = metrics.cluster_gini(clusters.labels, mnist[1])
    assert np.mean(list(ginis.values())) <= 0.12


@pytest.mark.skipif(CHOSEN == "float32", reason="auto is float32 here; bfloat16 would take ten times as long")
def test_bfloat16_learns_as_well_as_float32(fitted, mnist):
    def mean_error(precision):
        return np.mean([fitted(precision, seed).model.evaluate(mnist[2]) for seed in SEEDS])

    assert mean_error("bfloat16") == pytest.approx(mean_error("float32"), rel=0.02)

"""Maps: PCA against SVD, blobs kept apart, and new images placed where they belong."""

import logging
import sys

import numpy as np
import openTSNE
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits, make_blobs
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score

from caescope.analysis import projection
from caescope.analysis.projection import (
    PROJECTIONS,
    PCAMap,
    TSNEMap,
    UMAPMap,
    explained_variance_ratio,
    make_projection,
)
from caescope.errors import DataError, MissingDependencyError, OptionError

METHODS = pytest.mark.parametrize("method", PROJECTIONS)


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(240, 12, centers=4, cluster_std=0.7, random_state=0)[:2]


def svd(latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return principal scores and variances."""
    u, s, _ = np.linalg.svd(latents - latents.mean(axis=0), full_matrices=False)
    return u * s, s**2


@given(st.integers(0, 1000), st.integers(4, 30), st.integers(2, 9))
def test_pca_equals_svd(seed, n, features):
    rng = np.random.default_rng(seed)
    latents = (rng.normal(size=(n, features)) * 3.0 ** -np.arange(features)).astype(np.float32)
    scores, variances = svd(latents.astype(float))
    points = PCAMap().fit_transform(latents)
    # A component's sign is free, and two of nearly the same variance may mix: their squares may not.
    np.testing.assert_allclose(np.abs(points), np.abs(scores[:, :2]), atol=1e-4)
    ratio = explained_variance_ratio(latents)
    assert ratio.sum() == pytest.approx(1)
    np.testing.assert_allclose(ratio, (variances / variances.sum())[: len(ratio)], atol=1e-9)
    np.testing.assert_allclose(explained_variance_ratio(latents, 2), ratio[:2])


@METHODS
def test_separate_blobs_stay_apart(method, blobs):
    latents, labels = blobs
    points = make_projection(method).fit_transform(latents)
    assert points.shape == (240, 2)
    assert points.dtype == np.float32
    # Every image is nearer to its own blob's centre than to any other by far.
    assert silhouette_score(points, labels) > (0.3 if method == "pca" else 0.7)


@METHODS
def test_images_of_the_map_are_placed_near_themselves(method, blobs):
    latents, _ = blobs
    drawn = make_projection(method)
    points = drawn.fit_transform(latents)
    size = np.ptp(points, axis=0).max()
    for shift in (0, 0.01):
        distances = np.linalg.norm(drawn.transform(latents[:50] + shift) - points[:50], axis=1)
        assert distances.max() < 0.1 * size
        assert np.median(distances) < (0.04 if method == "umap" else 0.01) * size


@METHODS
def test_a_seed_decides_the_map(method, blobs):
    latents, _ = blobs
    maps = [make_projection(method, seed=3) for _ in range(2)]
    first, second = (drawn.fit_transform(latents) for drawn in maps)
    np.testing.assert_array_equal(first, second)
    first, second = (drawn.transform(latents[:20] + 0.1) for drawn in maps)
    np.testing.assert_array_equal(first, second)


def test_threads_do_not_change_a_small_tsne_map(blobs):
    latents, _ = blobs
    one, two = (TSNEMap(n_jobs=n).fit_transform(latents) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


@METHODS
@pytest.mark.parametrize(
    "latents",
    [
        np.full((30, 5), 0.1),
        np.repeat(np.eye(3), 20, axis=0),
        np.arange(12.0)[:, None],
        np.random.default_rng(0).normal(size=(4, 6)),
        np.random.default_rng(0).normal(size=(40, 6)) * 1e14,
        np.random.default_rng(0).normal(size=(40, 6)) * 1e-30,
        np.random.default_rng(0).normal(size=(20, 2, 2, 3)),
    ],
    ids=["constant", "repeated", "one feature", "four images", "huge", "minute", "convolutional"],
)
def test_awkward_latents_give_a_finite_map(method, latents, caplog):
    drawn = make_projection(method)
    points = drawn.fit_transform(latents)
    assert points.shape == (len(latents), 2)
    assert np.isfinite(points).all()
    for n in (1, 3):
        placed = drawn.transform(latents[:n])
        assert placed.shape == (n, 2)
        assert np.isfinite(placed).all()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_one_feature_is_its_own_map():
    latents = np.array([[5.0], [1.0], [3.0], [9.0]])
    points = PCAMap().fit_transform(latents)
    np.testing.assert_allclose(np.abs(points[:, 0]), np.abs(latents[:, 0] - 4.5), atol=1e-6)
    assert (points[:, 1] == 0).all()


@pytest.mark.parametrize(("n", "used"), [(4, 1), (61, 20), (121, 40), (200, 40)])
def test_perplexity_is_lowered_for_few_images(n, used):
    drawn = TSNEMap(perplexity=40)
    drawn.fit_transform(np.random.default_rng(0).normal(size=(n, 3)))
    assert drawn.perplexity_ == pytest.approx(used)


def test_constant_latents_explain_nothing():
    assert explained_variance_ratio(np.full((6, 3), 0.1)).tolist() == [0, 0, 0]


def test_there_are_as_many_components_as_images_or_features():
    latents = np.random.default_rng(0).normal(size=(5, 9))
    assert explained_variance_ratio(latents).shape == (5,)
    assert explained_variance_ratio(latents.T).shape == (5,)
    assert explained_variance_ratio(latents, 3).shape == (3,)
    with pytest.raises(OptionError, match="n_components must be an integer from 1 to 5"):
        explained_variance_ratio(latents, 6)
    with pytest.raises(DataError, match="at least 2 images"):
        explained_variance_ratio(latents[:1])


@METHODS
def test_latents_that_have_no_map_are_refused(method):
    drawn = make_projection(method)
    with pytest.raises(DataError, match="fitted before"):
        drawn.transform(np.zeros((4, 3)))
    with pytest.raises(DataError, match=r"at least 4 images\. Received 3"):
        drawn.fit_transform(np.eye(3))
    with pytest.raises(DataError, match="latents must be finite"):
        drawn.fit_transform(np.full((5, 3), np.nan))
    drawn.fit_transform(np.eye(5))
    with pytest.raises(DataError, match="latents must have 5 features"):
        drawn.transform(np.zeros((2, 4)))


def test_unknown_projections_and_options_are_refused():
    with pytest.raises(OptionError, match=r"one of tsne, pca, umap. Received 'isomap'"):
        make_projection("isomap")
    for perplexity in (0, 0.5, -3, float("nan"), float("inf"), "many", None):
        with pytest.raises(OptionError, match="perplexity must be a number of at least 1"):
            make_projection("tsne", perplexity=perplexity)
    with pytest.raises(OptionError, match="n_jobs must be an integer of at least 1"):
        TSNEMap(n_jobs=0)
    for method in PROJECTIONS:
        with pytest.raises(OptionError, match="seed must be an integer from 0"):
            make_projection(method, seed=-1)


def test_umap_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "caescope\[umap\]"'):
        UMAPMap()


def test_the_shorter_schedule_for_many_images_keeps_neighbours_together(monkeypatch):
    latents = load_digits(return_X_y=True)[0]

    def quality(many: int) -> float:
        monkeypatch.setattr(projection, "MANY", many)
        return float(trustworthiness(latents, TSNEMap().fit_transform(latents), n_neighbors=15))

    assert quality(many=0) >= quality(many=len(latents) + 1) - 0.005


@pytest.mark.parametrize(("too_many", "expected"), [(1000, "exact"), (10, "annoy")])
def test_neighbours_are_exact_unless_there_are_too_many(monkeypatch, rng, too_many, expected):
    monkeypatch.setattr(projection, "TOO_MANY_FOR_EXACT", too_many)
    asked = []

    class Watched(openTSNE.TSNE):
        def __init__(self, *arguments, **options):
            asked.append(options["neighbors"])
            super().__init__(*arguments, **options)

    monkeypatch.setattr(openTSNE, "TSNE", Watched)
    TSNEMap(perplexity=5).fit_transform(rng.random((50, 4)))
    assert asked == [expected]

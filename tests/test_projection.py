"""Maps: PCA against SVD, blobs kept apart, and new images placed where they belong."""

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable

import numba
import numpy as np
import openTSNE
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits, make_blobs
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score

from caescope.analysis import maps, tsne
from caescope.analysis.projection import (
    PROJECTIONS,
    PaCMAPMap,
    PCAMap,
    Projection,
    TSNEMap,
    UMAPMap,
    explained_variance_ratio,
    make_projection,
)
from caescope.errors import DataError, MissingDependencyError, OptionError
from caescope.pipeline import run

METHODS = pytest.mark.parametrize("method", PROJECTIONS)

# How far from their own places images of the map land when they are placed on it: their median distance, as a
# share of the map's width. UMAP and PaCMAP place an image among its neighbours, of which it is but one.
TOLERANCES = {"tsne": 0.01, "pca": 0.01, "umap": 0.04, "pacmap": 0.04}


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


def check_projection(make: Callable[..., Projection], latents: np.ndarray, tolerance: float):
    """Assert what must hold of every projection, however it draws its map."""
    drawn = make(seed=3)
    with pytest.raises(DataError, match="fitted before"):
        drawn.transform(latents)
    points, placed = drawn.fit_transform(latents), drawn.transform(latents[:50])
    assert drawn.fitted_ == len(latents)
    for found, n in ((points, len(latents)), (placed, 50)):
        assert found.shape == (n, 2)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
    check_places(drawn, latents, points, tolerance)
    check_seed(make, latents, points, placed)
    check_refusals(make(), latents.shape[1])


def check_places(drawn: Projection, latents, points, tolerance: float):
    """Assert that images of the map, or nearly the same ones, are placed where they are."""
    size = np.ptp(points, axis=0).max()
    for shift in (0, 0.01):
        distances = np.linalg.norm(drawn.transform(latents[:50] + shift) - points[:50], axis=1)
        assert distances.max() < 0.1 * size
        assert np.median(distances) < tolerance * size


def check_seed(make, latents, points, placed):
    """Assert that the same seed gives the same map and places, by ``fit`` and by ``fit_transform``."""
    same = make(seed=3)
    np.testing.assert_array_equal(same.fit_transform(latents), points)
    np.testing.assert_array_equal(same.transform(latents[:50]), placed)
    fitted = make(seed=3)
    assert fitted.fit(latents) is fitted
    np.testing.assert_array_equal(fitted.transform(latents[:50]), placed)
    make(seed=2**32 - 1).fit(latents[:20])


def check_refusals(drawn: Projection, features: int):
    for fit in (drawn.fit, drawn.fit_transform):
        with pytest.raises(DataError, match=r"at least 4 images\. Received 3\. Add images"):
            fit(np.eye(3))
        with pytest.raises(DataError, match="latents must be finite"):
            fit(np.full((5, 3), np.nan))
        with pytest.raises(DataError, match="fitted before"):
            drawn.transform(np.zeros((4, 3)))
    drawn.fit(np.eye(5))
    with pytest.raises(DataError, match="latents must have 5 features"):
        drawn.transform(np.zeros((2, 4)))


@METHODS
def test_every_projection_keeps_the_protocol(method, blobs):
    def make(**options) -> Projection:
        return make_projection(method, **options)

    check_projection(make, blobs[0], TOLERANCES[method])


@METHODS
def test_of_many_images_a_sample_is_fitted_and_the_rest_is_placed(method, blobs):
    latents, labels = blobs
    drawn = make_projection(method, seed=1, most=100)
    points = drawn.fit_transform(latents)
    assert drawn.fitted_ == 100
    assert points.shape == (240, 2)
    sample = drawn._sample(240)
    assert sample.sum() == 100
    whole = make_projection(method, seed=1)
    np.testing.assert_array_equal(points[sample], whole.fit_transform(latents[sample]))
    np.testing.assert_array_equal(points[~sample], whole.transform(latents[~sample]))
    assert silhouette_score(points, labels) > (0.3 if method == "pca" else 0.6)
    np.testing.assert_array_equal(
        make_projection(method, seed=1, most=100).fit(latents).transform(latents[:9]),
        drawn.transform(latents[:9]),
    )


def test_the_seed_draws_the_sample_evenly():
    samples = np.array([PCAMap(seed, most=4)._sample(8) for seed in range(500)])
    assert (samples.sum(axis=1) == 4).all()
    np.testing.assert_allclose(samples.mean(axis=0), 0.5, atol=0.1)  # 4.5 standard errors
    assert PCAMap(most=8)._sample(8).all()


def test_samples_are_for_more_than_200_000_images_only():
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(200_001, 2)).astype(np.float32)
    assert PCAMap().fit(latents[1:]).fitted_ == 200_000
    drawn = PCAMap()
    points = drawn.fit_transform(latents)
    assert drawn.fitted_ == 200_000
    assert np.isfinite(points).all()


@pytest.mark.parametrize("method", ["tsne", "pca", "pacmap"])
def test_images_are_placed_in_blocks_alike(method, blobs, monkeypatch):
    latents, _ = blobs
    drawn = make_projection(method).fit(latents[:150])
    at_once = drawn.transform(latents[150:])
    sizes, place = [], drawn._place
    monkeypatch.setattr(drawn, "_place", lambda block: sizes.append(len(block)) or place(block))
    monkeypatch.setattr(maps, "BLOCK", 40)
    np.testing.assert_allclose(drawn.transform(latents[150:]), at_once, rtol=1e-4, atol=1e-4)
    assert sizes == [40, 40, 10]


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


def test_unknown_projections_and_options_are_refused():
    with pytest.raises(OptionError, match=r"one of tsne, pca, umap, pacmap. Received 'isomap'"):
        make_projection("isomap")
    for perplexity in (0, 0.5, -3, float("nan"), float("inf"), "many", None):
        with pytest.raises(OptionError, match="perplexity must be a number of at least 1"):
            make_projection("tsne", perplexity=perplexity)
    with pytest.raises(OptionError, match="n_jobs must be an integer of at least 1"):
        TSNEMap(n_jobs=0)
    for method in PROJECTIONS:
        with pytest.raises(OptionError, match="seed must be an integer from 0"):
            make_projection(method, seed=-1)
        with pytest.raises(OptionError, match=r"most must be an integer of at least 4\. Received most=3"):
            make_projection(method, most=3)


@pytest.mark.parametrize(("package", "make"), [("umap", UMAPMap), ("pacmap", PaCMAPMap)])
def test_extras_say_how_to_install_them(monkeypatch, package, make):
    monkeypatch.setitem(sys.modules, package, None)
    for call in (make, lambda: make_projection(package)):
        with pytest.raises(MissingDependencyError, match=rf'pip install "caescope\[{package}\]"'):
            call()


@pytest.mark.parametrize("n", [5, 6, 7, 11, 12, 30, 36, 62])
def test_pacmap_gets_by_with_fewer_images_than_it_wants_neighbours(n):
    latents = np.random.default_rng(n).normal(size=(n, 3))
    points = PaCMAPMap().fit_transform(latents)
    assert np.isfinite(points).all()
    assert len(np.unique(points, axis=0)) == n


def test_pacmap_maps_equal_latents_to_one_point():
    for latents in (np.full((30, 5), 0.1), np.tile([0.1, 7.0, -3.0], (30, 1))):
        drawn = PaCMAPMap()
        assert (drawn.fit_transform(latents) == 0).all()
        assert (drawn.transform(latents[:2] + 1) == 0).all()


@pytest.mark.parametrize("features", [12, 112])
def test_pacmap_does_not_depend_on_the_unit_of_the_latents(blobs, features):
    # Of more than 100 features, pacmap itself keeps the unit
    latents = np.pad(blobs[0].astype(np.float32), [(0, 0), (0, features - 12)])
    first, second = (PaCMAPMap().fit_transform(latents * unit) for unit in (1, 2.0**30))
    np.testing.assert_array_equal(first, second)


def test_pacmap_places_an_image_at_the_median_of_its_neighbours(blobs):
    latents, _ = blobs
    drawn = PaCMAPMap()
    points = drawn.fit_transform(latents)
    new = latents[:3] + 0.3
    distances = np.linalg.norm(latents.astype(np.float32) - new[:, None], axis=2)
    expected = np.median(points[np.argsort(distances, axis=1)[:, :11]], axis=1)
    np.testing.assert_allclose(drawn.transform(new), expected, atol=1e-6)


def test_pacmap_leaves_the_process_as_it_was(blobs, caplog):
    def state():
        return list(warnings.filters), logging.getLogger("pacmap").level, numba.get_num_threads()

    before = state()
    PaCMAPMap().fit(blobs[0])
    assert state() == before
    assert not caplog.records


def test_the_shorter_schedule_for_many_images_keeps_neighbours_together(monkeypatch):
    latents = load_digits(return_X_y=True)[0]

    def quality(many: int) -> float:
        monkeypatch.setattr(tsne, "MANY", many)
        return float(trustworthiness(latents, TSNEMap().fit_transform(latents), n_neighbors=15))

    assert quality(many=0) >= quality(many=len(latents) + 1) - 0.005


@pytest.mark.parametrize(("too_many", "expected"), [(1000, "exact"), (10, "annoy")])
def test_neighbours_are_exact_unless_there_are_too_many(monkeypatch, rng, too_many, expected):
    monkeypatch.setattr(tsne, "TOO_MANY_FOR_EXACT", too_many)
    asked = []

    class Watched(openTSNE.TSNE):
        def __init__(self, *arguments, **options):
            asked.append(options["neighbors"])
            super().__init__(*arguments, **options)

    monkeypatch.setattr(openTSNE, "TSNE", Watched)
    TSNEMap(perplexity=5).fit_transform(rng.random((50, 4)))
    assert asked == [expected]


@METHODS
def test_a_run_is_drawn_by_the_map_asked_for(method, rng, tmp_path, undrawn):  # here, where they are compiled
    options = {
        "epochs": 2,
        "latent_features": 4,
        "filters": (4,),
        "clusters": 5,
        "stability": 0,
        "verbose": 0,
    }
    made = run(rng.random((150, 8, 8)), tmp_path / "run", map=method, device="cpu", **options)
    found = made.metrics["projection"]["map"]
    assert (found["method"], found["fitted"], "perplexity" in found) == (method, 120, method == "tsne")
    assert 0.5 < found["trustworthiness"] <= 1
    assert "stability" not in made.metrics


@pytest.mark.parametrize("method", ["umap", "pacmap"])
def test_maps_leave_the_number_of_threads_as_it_was(method):
    pytest.importorskip(method)
    code = (
        "import numpy as np, torch; from caescope.analysis.projection import make_projection\n"
        "before = torch.get_num_threads()\n"
        f"fitted = make_projection({method!r}).fit(np.random.default_rng(0).normal(size=(60, 4)))\n"
        "fitted.transform(np.zeros((3, 4)))\n"
        "assert torch.get_num_threads() == before, (before, torch.get_num_threads())"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "3"}  # which neither a library nor a small machine chooses
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)

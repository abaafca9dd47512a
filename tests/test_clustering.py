"""KMeans finds blobs; what is said of clusters follows from distances and counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_blobs

from caescope import metrics
from caescope.analysis.agreement import judge_clusters, match_clusters
from caescope.analysis.clustering import (
    CLUSTER_METHODS,
    cluster_points,
    kmeans,
)
from caescope.errors import DataError, OptionError

SIZES = [60, 40, 25, 10]


@pytest.fixture(scope="module")
def blobs():
    centers = np.array([[0, 0], [20, 0], [0, 20], [20, 20]])
    return make_blobs(SIZES, 2, centers=centers, cluster_std=1, random_state=0)[:2]


def test_kmeans_finds_separate_blobs_and_numbers_them_by_size(blobs):
    points, labels = blobs
    clusters = kmeans(points, k=4)
    assert clusters.k == 4
    assert clusters.sizes.tolist() == SIZES
    assert clusters.labels.dtype == np.int32
    np.testing.assert_array_equal(clusters.labels, labels)
    means = [points[labels == i].mean(axis=0) for i in range(4)]
    np.testing.assert_allclose(clusters.centers, means, atol=1e-5)


def test_the_same_seed_gives_the_same_clusters(blobs):
    points, _ = blobs
    first, second = kmeans(points, k=7, seed=3), kmeans(points, k=7, seed=3)
    np.testing.assert_array_equal(first.labels, second.labels)


def test_points_are_predicted_to_be_where_they_were_clustered(blobs):
    clusters = kmeans(blobs[0], k=9)
    np.testing.assert_array_equal(clusters.predict(blobs[0]), clusters.labels)
    assert clusters.predict([[1000, 1000]]).dtype == np.int32


@given(st.lists(st.tuples(*[st.integers(-3, 3)] * 2), min_size=1, max_size=25), st.data())
@settings(max_examples=30, deadline=None)
def test_every_possible_k_gives_k_clusters_around_their_means(points, data):
    k = data.draw(st.integers(1, len(set(points))))
    clusters = kmeans(points, k)
    assert clusters.k == k
    assert (clusters.sizes > 0).all()
    assert clusters.sizes.tolist() == sorted(clusters.sizes, reverse=True)
    for i in range(k):
        mean = np.mean(np.array(points)[clusters.labels == i], axis=0)
        np.testing.assert_allclose(clusters.centers[i], mean, atol=1e-6)


@pytest.mark.parametrize("k", [4, 100])
def test_more_clusters_than_different_points_are_refused(k):
    points = [[0, 0], [1, 1], [2, 2], [2, 2]]
    with pytest.raises(OptionError, match=f"k={k} for 3 different points of 4 images. Use k=3 or fewer"):
        kmeans(points, k)


@pytest.mark.parametrize("k", [0, -1, 2.5, "3"])
def test_k_must_be_a_positive_integer(k):
    with pytest.raises(OptionError, match="k must be an integer of at least 1"):
        kmeans([[0, 0], [1, 1], [2, 2]], k)


def test_points_that_cannot_be_clustered_are_refused(blobs):
    with pytest.raises(DataError, match="points must be finite"):
        kmeans([[0, np.nan], [1, 2]], 1)
    with pytest.raises(DataError, match="points must have 2 features"):
        kmeans(blobs[0], 4).predict(np.zeros((3, 5)))
    with pytest.raises(OptionError, match="seed must be an integer"):
        kmeans(blobs[0], 4, seed=2**32)


# Other methods


@pytest.mark.parametrize("method", CLUSTER_METHODS)
def test_every_method_finds_separate_blobs_and_numbers_them_by_size(blobs, method):
    points, labels = blobs
    clusters = cluster_points(points, method, k=4)
    clustered = clusters.labels >= 0
    assert clusters.k == 4
    assert clusters.fitted == len(points)
    assert clusters.labels.dtype == np.int32
    assert clusters.sizes.sum() == clustered.sum() > 0.95 * len(points)
    assert clusters.noise == pytest.approx(1 - clustered.mean())
    np.testing.assert_array_equal(clusters.labels[clustered], labels[clustered])
    means = [points[clusters.labels == i].mean(axis=0) for i in range(4)]
    np.testing.assert_allclose(clusters.centers, means, atol=1e-5)


@pytest.mark.parametrize("method", CLUSTER_METHODS)
def test_every_method_predicts_points_where_they_were_clustered(method):
    points = np.random.default_rng(0).normal(size=(500, 3)) ** 3
    clusters = cluster_points(points, method, k=7, seed=3)
    np.testing.assert_array_equal(clusters.predict(points), clusters.labels)
    np.testing.assert_array_equal(clusters.predict(points[:9]), clusters.labels[:9])
    assert (np.diff(clusters.sizes) <= 0).all()
    again = cluster_points(points, method, k=7, seed=3)
    np.testing.assert_array_equal(again.labels, clusters.labels)
    with pytest.raises(DataError, match="points must have 3 features"):
        clusters.predict(np.zeros((3, 5)))


def test_kmeans_by_name_is_kmeans(blobs):
    named, plain = cluster_points(blobs[0], "kmeans", 7, seed=3), kmeans(blobs[0], 7, seed=3)
    np.testing.assert_array_equal(named.labels, plain.labels)


def test_a_mixture_tells_two_crossing_ellipses_apart_where_kmeans_cannot():
    rng = np.random.default_rng(0)
    cross = np.concatenate([rng.normal(0, [10, 0.3], (300, 2)), rng.normal(0, [0.3, 10], (300, 2))])
    truth = np.repeat([0, 1], 300)
    assert metrics.ari(cluster_points(cross, "mixture", 2).labels, truth) > 0.9
    assert metrics.ari(cluster_points(cross, "kmeans", 2).labels, truth) < 0.6


def test_hdbscan_finds_a_ring_and_leaves_strangers_in_no_cluster():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 400)
    ring = 10 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.2, (400, 2))
    points = np.concatenate([ring, rng.normal(0, 0.5, (200, 2)), [[60, 60], [-70, 50]]])
    clusters = cluster_points(points, "hdbscan")
    np.testing.assert_array_equal(clusters.labels, [0] * 400 + [1] * 200 + [-1] * 2)
    assert clusters.noise == pytest.approx(2 / 602)
    np.testing.assert_array_equal(clusters.predict([[0, 9], [0, 1], [55, 70]]), [0, 1, -1])


@pytest.mark.parametrize("method", ["mixture", "hdbscan"])
def test_large_data_is_fitted_on_a_sample_and_the_rest_assigned(monkeypatch, method):
    monkeypatch.setattr("caescope.analysis.clustering.MOST_FITTED", 200)
    points, labels = make_blobs([500, 300], 5, cluster_std=0.5, random_state=0)[:2]
    clusters = cluster_points(points, method, k=2)
    assert clusters.fitted == 200
    assert metrics.ari(clusters.labels[clusters.labels >= 0], labels[clusters.labels >= 0]) == 1
    assert clusters.noise < 0.05
    np.testing.assert_array_equal(clusters.predict(points), clusters.labels)


@given(
    st.sampled_from(["mixture", "hdbscan"]),
    st.lists(st.tuples(*[st.integers(-3, 3)] * 2), min_size=1, max_size=25),
    st.data(),
)
@settings(max_examples=40, deadline=None)
def test_any_points_can_be_clustered_duplicates_included(method, points, data):
    k = data.draw(st.integers(1, len(set(points))))
    clusters = cluster_points(points, method, k)
    assert clusters.k == len(clusters.sizes) <= (k if method == "mixture" else len(points) // 5)
    assert set(clusters.labels.tolist()) - {-1} == set(range(clusters.k))
    assert clusters.centers.shape == (clusters.k, 2)
    assert np.isfinite(clusters.centers).all()
    np.testing.assert_array_equal(clusters.predict(points), clusters.labels)


def test_constant_points_are_one_cluster_of_a_mixture_and_none_of_hdbscan_below_five():
    assert cluster_points(np.ones((9, 3)), "mixture", 1).labels.tolist() == [0] * 9
    assert cluster_points(np.eye(4), "hdbscan").labels.tolist() == [-1] * 4


def test_unknown_methods_are_refused(blobs):
    with pytest.raises(OptionError, match=r"must be one of kmeans, mixture, hdbscan. Received 'leiden'"):
        cluster_points(blobs[0], "leiden")
    with pytest.raises(OptionError, match="k=4 for 3 different points"):
        cluster_points([[0, 0], [1, 1], [2, 2], [2, 2]], "mixture", 4)
    for method in CLUSTER_METHODS:
        with pytest.raises(OptionError, match="seed must be an integer"):
            cluster_points(blobs[0], method, 4, seed=-1)
        with pytest.raises(DataError, match="points must be finite"):
            cluster_points([[0, np.nan], [1, 2]], method, 1)


# Labels


def test_judging_by_hand():
    judged = judge_clusters([0, 0, 0, 0, 3, 3], ["a", "a", "b", "b", "b", "b"])
    assert judged == {
        "gini": {0: 0.5, 3: 0.0},
        "entropy": {0: 1.0, 3: 0.0},
        "purities": {0: 0.5, 3: 1.0},
        "gini_mean": 0.25,
        "entropy_mean": 0.5,
        "purity": 4 / 6,
    }


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc")), min_size=1, max_size=30))
def test_judging_takes_every_cluster_for_equal(rows):
    clusters, labels = zip(*rows, strict=True)
    judged = judge_clusters(clusters, labels)
    groups = [[x for c, x in rows if c == cluster] for cluster in set(clusters)]
    assert judged["gini_mean"] == pytest.approx(np.mean([metrics.gini(group) for group in groups]))
    assert judged["entropy_mean"] == pytest.approx(np.mean([metrics.entropy(group) for group in groups]))


def test_blobs_match_their_labels_whatever_they_are_called(blobs):
    points, labels = blobs
    matched = match_clusters(points, np.array(["d", "a", "c", "b"])[labels])
    assert matched == {"k": 4, "accuracy": 1.0, "nmi": pytest.approx(1), "ari": 1.0}


def test_labels_without_a_trace_in_the_points_match_by_chance_only(blobs):
    points, _ = blobs
    labels = np.random.default_rng(0).integers(0, 4, len(points))
    matched = match_clusters(points, labels)
    assert matched["accuracy"] < 0.5
    assert abs(matched["ari"]) < 0.05


def test_matching_refuses_what_does_not_fit(blobs):
    with pytest.raises(DataError, match="135 points and 134 labels"):
        match_clusters(blobs[0], blobs[1][1:])
    with pytest.raises(OptionError, match="k=3 for 1 different points"):
        match_clusters(np.zeros((3, 2)), ["a", "b", "c"])

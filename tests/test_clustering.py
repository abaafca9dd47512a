"""KMeans finds blobs; what is said of clusters follows from distances and counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_blobs

from caescope import metrics
from caescope.analysis.clustering import Clusters, judge_clusters, kmeans, match_clusters, nearest_to_center
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


def test_judging_by_hand():
    judged = judge_clusters([0, 0, 0, 0, 3, 3], ["a", "a", "b", "b", "b", "b"])
    assert judged == {"gini": {0: 0.5, 3: 0.0}, "gini_mean": 0.25, "entropy_mean": 0.5, "purity": 4 / 6}


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


def test_the_nearest_to_a_center_are_its_own_points_sorted_by_distance(blobs):
    points, labels = blobs
    clusters = kmeans(points, k=4)
    nearest = nearest_to_center(points, clusters, n=25)
    assert [len(nearest[i]) for i in range(4)] == [25, 25, 25, 10]
    for i, indices in nearest.items():
        distances = np.linalg.norm(points - clusters.centers[i], axis=1)
        own = np.sort(distances[labels == i])[: len(indices)]
        np.testing.assert_allclose(distances[indices], own)


def test_the_nearest_to_a_center_refuse_other_points():
    clusters = Clusters(np.array([0, 0, 1], np.int32), np.array([[0.0, 0.0], [5.0, 5.0]]))
    with pytest.raises(DataError, match="2 points and 3 clusters"):
        nearest_to_center(np.zeros((2, 2)), clusters)
    with pytest.raises(OptionError, match="n must be an integer of at least 1"):
        nearest_to_center(np.zeros((3, 2)), clusters, n=0)

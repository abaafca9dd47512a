"""Which images stand for a cluster follows from distances; every claim is checked against brute force."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.datasets import make_blobs

from caescope.analysis.clustering import Clusters, cluster_points, kmeans
from caescope.analysis.members import boundary, medoids, nearest_to_center
from caescope.errors import DataError, OptionError

SIZES = [60, 40, 25, 10]
TWO = Clusters(np.array([0, 0, 1], np.int32), np.array([[0.0, 0.0], [5.0, 5.0]]))


@pytest.fixture(scope="module")
def blobs():
    centers = np.array([[0, 0], [20, 0], [0, 20], [20, 20]])
    return make_blobs(SIZES, 2, centers=centers, cluster_std=3, random_state=0)[0].astype(np.float32)


def test_the_nearest_to_a_center_are_its_own_points_sorted_by_distance(blobs):
    clusters = kmeans(blobs, k=4)
    nearest = nearest_to_center(blobs, clusters, n=25)
    assert [len(nearest[i]) for i in range(4)] == np.minimum(clusters.sizes, 25).tolist()
    for i, indices in nearest.items():
        distances = np.linalg.norm(blobs - clusters.centers[i], axis=1)
        own = np.sort(distances[clusters.labels == i])[: len(indices)]
        np.testing.assert_allclose(distances[indices], own)


@pytest.mark.parametrize("offset", [0, 1e4])
def test_a_medoid_has_the_smallest_sum_of_distances(blobs, offset):
    clusters = kmeans(blobs, k=4)
    for i, medoid in medoids(blobs + np.float32(offset), clusters).items():
        members = np.flatnonzero(clusters.labels == i)
        moved = (blobs + np.float32(offset)).astype(np.float64)
        assert medoid == members[cdist(moved[members], moved[members]).sum(axis=1).argmin()]


def test_a_medoid_is_in_its_cluster_where_the_mean_is_not():
    angle = np.linspace(0, 1.5 * np.pi, 40)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    clusters = Clusters(np.zeros(40, np.int32), ring.mean(axis=0, keepdims=True))
    assert np.linalg.norm(ring[medoids(ring, clusters)[0]]) == pytest.approx(1)


def test_the_medoid_of_a_large_cluster_is_nearly_the_best():
    points = np.random.default_rng(0).normal(size=(3000, 2)).astype(np.float32)
    clusters = Clusters(np.zeros(3000, np.int32), np.zeros((1, 2)))
    sums = cdist(points, points).sum(axis=1)
    found = medoids(points, clusters)[0]
    assert sums[found] < 1.01 * sums.min()
    assert medoids(points, clusters)[0] == found


def test_medoids_can_be_looked_for_in_other_variables_than_were_clustered():
    clusters = kmeans([[0, 0], [0, 1], [9, 9], [9, 8], [9, 7]], k=2)
    latents = [[0, 0, 7], [0, 0, 8], [1, 0, 0], [2, 0, 0], [9, 0, 0]]
    assert medoids(latents, clusters) == {0: 3, 1: 0}


def test_the_boundary_holds_the_smallest_margins_first(blobs):
    clusters = kmeans(blobs, k=4)
    distances = cdist(blobs, clusters.centers)
    for i, indices in boundary(blobs, clusters, n=7).items():
        margins = np.delete(distances, i, axis=1).min(axis=1) - distances[:, i]
        own = margins[clusters.labels == i]
        np.testing.assert_allclose(margins[indices], np.sort(own)[:7])
        assert (margins[indices] >= -1e-6).all()
        assert (clusters.labels[indices] == i).all()


def test_a_single_cluster_has_no_boundary():
    assert {i: x.tolist() for i, x in boundary([[0, 0], [1, 1]], kmeans([[0, 0], [1, 1]], 1)).items()} == {
        0: []
    }


def test_noise_stands_for_no_cluster(blobs):
    points = np.concatenate([blobs, [[500, 500]]])
    clusters = cluster_points(points, "hdbscan")
    assert clusters.labels[-1] == -1
    for found in (nearest_to_center(points, clusters), boundary(points, clusters), medoids(points, clusters)):
        assert list(found) == list(range(clusters.k))
        assert all((clusters.labels[np.atleast_1d(rows)] == i).all() for i, rows in found.items())


def test_no_clusters_have_no_members():
    none = cluster_points(np.eye(4), "hdbscan")
    assert nearest_to_center(np.eye(4), none) == boundary(np.eye(4), none) == medoids(np.eye(4), none) == {}


@pytest.mark.parametrize("members", [nearest_to_center, boundary, medoids])
def test_other_points_are_refused(members):
    with pytest.raises(DataError, match="2 points and 3 clusters"):
        members(np.zeros((2, 2)), TWO)
    with pytest.raises(DataError, match="points must be numbers"):
        members([["a", "b"]] * 3, TWO)


@pytest.mark.parametrize("members", [nearest_to_center, boundary])
def test_n_must_be_a_positive_integer(members):
    with pytest.raises(OptionError, match="n must be an integer of at least 1"):
        members(np.zeros((3, 2)), TWO, n=0)
    with pytest.raises(DataError, match="points must have 2 features"):
        members(np.zeros((3, 4)), TWO)

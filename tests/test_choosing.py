"""Silhouettes are scikit-learn's; what a map made up is told from what is in the latents."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import silhouette_samples, silhouette_score

from caescope.analysis.choosing import choose_k, cohesion, invented, silhouettes
from caescope.analysis.clustering import kmeans
from caescope.analysis.projection import TSNEMap, make_projection
from caescope.errors import DataError, OptionError


@pytest.fixture(scope="module")
def blobs():
    return make_blobs([120, 80, 60, 40], 6, cluster_std=1, center_box=(-8, 8), random_state=3)[:2]


def sizes_of(clusters) -> dict[int, int]:
    names, counts = np.unique(clusters, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


# The number of clusters


def test_as_many_clusters_are_chosen_as_there_are_blobs(blobs):
    chosen = choose_k(blobs[0])
    assert chosen.k == 4
    assert chosen.ks == list(range(2, 31))
    assert len(chosen.silhouettes) == 29


def test_the_curve_is_scikit_learns_silhouette_of_kmeans(blobs):
    points = blobs[0]
    chosen = choose_k(points, ks=[7, 2, 4, 4], seed=5)
    assert chosen.ks == [2, 4, 7]
    expected = [silhouette_score(points, kmeans(points, k, seed=5).labels) for k in chosen.ks]
    np.testing.assert_allclose(chosen.silhouettes, expected, atol=1e-6)
    assert chosen.k == chosen.ks[int(np.argmax(expected))]


def test_no_more_clusters_are_tried_than_points_allow():
    assert choose_k([[0, 0], [0, 1], [9, 9], [9, 9], [9, 9]]).ks == [2, 3]
    assert choose_k([[0, 0], [0, 1], [9, 9]]).ks == [2]


@pytest.mark.parametrize("points", [[[1, 2]], [[1, 2], [3, 4]], np.ones((40, 3))])
def test_points_without_a_choice_are_one_cluster(points):
    chosen = choose_k(points)
    assert (chosen.k, chosen.ks, chosen.silhouettes) == (1, [], [])


def test_large_data_is_judged_on_a_sample_that_the_seed_decides(monkeypatch, blobs):
    monkeypatch.setattr("caescope.analysis.choosing.MOST_JUDGED", 100)
    first, again, other = (choose_k(blobs[0], [2, 4], seed) for seed in (0, 0, 1))
    assert first == again != other
    assert first.k == other.k == 4
    assert first.silhouettes[1] == pytest.approx(choose_k(blobs[0], [4]).silhouettes[0], abs=0.05)


@pytest.mark.parametrize("ks", [[1, 2], [2, 5], [2.5], ["3"], [True]])
def test_impossible_numbers_are_refused(ks):
    with pytest.raises(OptionError, match="each of ks must be an integer from 2 to 4"):
        choose_k([[0], [1], [2], [3], [4]], ks)


def test_nothing_to_try_is_refused():
    with pytest.raises(OptionError, match="ks must hold at least one number of clusters that is possible"):
        choose_k([[0], [1], [2], [3]], [])
    with pytest.raises(OptionError, match="points that allow at most 1"):
        choose_k(np.ones((5, 2)), [2])
    with pytest.raises(DataError, match="points must be finite"):
        choose_k([[0], [np.inf], [1]])


# Silhouettes


def test_silhouettes_are_scikit_learns(blobs):
    points, labels = blobs
    mean, each = silhouettes(points, labels)
    values = silhouette_samples(points, labels)
    assert mean == pytest.approx(silhouette_score(points, labels), abs=1e-6)
    assert each == {i: pytest.approx(values[labels == i].mean(), abs=1e-6) for i in range(4)}


def test_a_sample_tells_nearly_what_all_images_do(monkeypatch, blobs):
    monkeypatch.setattr("caescope.analysis.choosing.MOST_JUDGED", 100)
    points, labels = blobs[0], np.where(np.arange(300) < 150, 0, blobs[1] + 1)
    mean, each = silhouettes(points, labels)
    assert mean == pytest.approx(silhouette_score(points, labels), abs=0.05)
    assert set(each) == set(labels)


def test_small_clusters_are_in_every_sample(monkeypatch):
    monkeypatch.setattr("caescope.analysis.choosing.MOST_JUDGED", 50)
    points = np.concatenate([np.random.default_rng(0).normal(size=(1000, 2)), [[50, 50], [50, 51]]])
    each = silhouettes(points, [0] * 1000 + [1] * 2)[1]
    assert each[1] > 0.95


def test_noise_is_left_out_of_silhouettes(blobs):
    points, labels = blobs
    noisy = np.where(np.arange(300) % 7, labels, -1)
    kept = noisy >= 0
    mean, each = silhouettes(points, noisy)
    assert mean == pytest.approx(silhouette_score(points[kept], labels[kept]), abs=1e-6)
    assert set(each) == {0, 1, 2, 3}


def test_images_alone_in_their_cluster_have_silhouette_0():
    assert silhouettes([[0], [1], [2]], ["a", "b", "c"]) == (0, {"a": 0, "b": 0, "c": 0})
    assert silhouettes([[0], [1], [9]], [0, 0, 1])[1][1] == 0


@pytest.mark.parametrize("clusters", [[0, 0, 0], [-1, -1, -1], [4, 4, -1]])
def test_fewer_than_two_clusters_have_no_silhouette(clusters):
    mean, each = silhouettes([[0], [1], [2]], clusters)
    assert math.isnan(mean)
    assert each == {}


# Cohesion


def test_cohesion_by_hand():
    latents = [[0], [1], [2.5], [10], [11], [12.5]]
    assert cohesion(latents, [0, 0, 1, 1, 1, 1], neighbours=2) == {
        0: 1.0,  # one other image in the cluster, so one neighbour counts
        1: pytest.approx((0 + 1 + 1 + 1) / 4),
    }


@pytest.mark.parametrize(("n", "neighbours"), [(40, 3), (200, 10), (12, 50)])
def test_cohesion_is_that_of_brute_force(n, neighbours):
    rng = np.random.default_rng(n)
    latents, clusters = rng.normal(size=(n, 4)).astype(np.float32), rng.integers(0, 3, n)
    order = np.argsort(cdist(latents, latents) + np.diag(np.full(n, np.inf)), axis=1)
    expected = {}
    for i in range(3):
        mine = clusters == i
        near = order[mine][:, : min(neighbours, mine.sum() - 1)]
        expected[i] = pytest.approx((clusters[near] == i).mean())
    assert cohesion(latents, clusters, neighbours) == expected


def test_noise_is_a_neighbour_but_no_cluster():
    latents = [[0], [1], [2], [50], [51], [52]]
    assert cohesion(latents, [0, -1, 0, 1, 1, 1], neighbours=1) == {0: 0.0, 1: 1.0}


def test_a_single_image_is_no_cluster_to_keep_together():
    assert cohesion([[0], [2], [3]], [0, 1, 1], neighbours=1) == {1: 1.0}
    assert cohesion([[0], [1]], [0, 1]) == {}
    assert cohesion([[0]], [0]) == {}
    assert cohesion([[0], [1]], [-1, -1]) == {}


def test_constant_latents_keep_nothing_together():
    clusters = np.arange(200) % 4
    found = cohesion(np.ones((200, 3)), clusters)
    assert invented(found, sizes_of(clusters)) == [0, 1, 2, 3]


def test_a_sample_of_images_tells_nearly_the_same(monkeypatch, blobs):
    points, labels = blobs[0], np.random.default_rng(0).integers(0, 2, 300)
    whole = cohesion(points, labels)
    monkeypatch.setattr("caescope.analysis.choosing.MOST_JUDGED", 150)
    assert cohesion(points, labels) == {i: pytest.approx(whole[i], abs=0.05) for i in (0, 1)}


def test_separate_blobs_are_in_the_latents():
    latents = make_blobs([150, 150], 20, centers=[[0] * 20, [10] * 20], random_state=0)[0]
    clusters = kmeans(TSNEMap(n_jobs=1).fit_transform(latents), 2).labels
    found = cohesion(latents, clusters)
    assert found == {0: 1.0, 1: 1.0}
    assert invented(found, sizes_of(clusters)) == []


@pytest.fixture(scope="module")
def noise():
    latents = np.random.default_rng(0).normal(size=(2000, 20))
    return latents, TSNEMap(n_jobs=1).fit_transform(latents)


@pytest.mark.parametrize(("k", "fewest"), [(2, 2), (5, 5), (10, 8), (20, 18)])
def test_clusters_of_a_map_of_pure_noise_are_invented(noise, k, fewest):
    latents, points = noise
    clusters = kmeans(points, k).labels
    assert len(invented(cohesion(latents, clusters), sizes_of(clusters))) >= fewest
    own = cohesion(points, clusters)
    assert invented(own, sizes_of(clusters)) == []  # on the map itself they hold together


def test_clusters_of_a_map_of_digits_are_not_invented():
    latents = load_digits().data
    latents = latents @ np.linalg.svd(latents - latents.mean(axis=0), full_matrices=False)[2][:20].T
    points = make_projection("tsne").fit_transform(latents)
    for k in (2, 10, 20):
        clusters = kmeans(points, k).labels
        found = cohesion(latents, clusters)
        assert min(found.values()) > 0.6
        assert invented(found, sizes_of(clusters)) == []


def test_invented_by_hand():
    shares = {"a": 0.5, "b": 0.49, "c": 0.7}
    assert invented(shares) == ["b"]
    assert invented(shares, least=0.6) == ["a", "b"]
    # chance is 50/100 for c: 0.7 is 0.4 of the way from there to 1
    assert invented(shares, {"a": 1, "b": 1, "c": 51, "d": 48}) == ["b", "c"]


@pytest.mark.parametrize("judge", [silhouettes, cohesion])
def test_other_clusters_are_refused(judge):
    with pytest.raises(DataError, match=r"3 (points|latents) and 2 clusters"):
        judge([[0], [1], [2]], [0, 1])
    with pytest.raises(DataError, match="clusters must not be missing"):
        judge([[0], [1]], [0, None])
    with pytest.raises(OptionError, match="seed must be an integer"):
        judge([[0], [1], [2], [3]], [0, 0, 1, 1], seed=-1)


def test_neighbours_must_be_a_positive_integer():
    with pytest.raises(OptionError, match="neighbours must be an integer of at least 1"):
        cohesion([[0], [1]], [0, 0], neighbours=0)

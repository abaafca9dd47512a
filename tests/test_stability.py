"""What is there comes back, what was cut out of noise does not; shares are counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from caescope.analysis.clustering import CLUSTER_METHODS, cluster_points, kmeans
from caescope.analysis.stability import best_jaccard, compare_runs, judge_stability
from caescope.errors import DataError, OptionError


@pytest.fixture(scope="module")
def two_blobs():
    return make_blobs([200, 200], 20, centers=[[0] * 20, [20] * 20], random_state=0)[0]


def judged(points, method="kmeans", k=20, **options):
    return judge_stability(points, cluster_points(points, method, k).labels, method, k, **options)


@pytest.mark.parametrize("method", CLUSTER_METHODS)
def test_two_blobs_come_back(two_blobs, method):
    found = judged(two_blobs, method, 2)
    assert found["seeds"], found["bootstraps"] == (5, 20)
    assert found["ari_least"] > 0.97
    assert list(found["jaccard"]) == [0, 1]
    assert min(found["jaccard"].values()) > 0.97
    assert min(found["halves"].values()) > 0.97
    assert found["unstable"] == []


def test_a_blob_cut_in_two_does_not_come_back(two_blobs):
    found = judged(two_blobs, k=3)
    whole, *halves = found["jaccard"].values()  # the whole blob is the largest
    assert whole > 0.75
    assert max(halves) < 0.6
    assert found["unstable"] == [1, 2]
    assert found["ari_least"] < 0.95


@pytest.mark.parametrize("features", [2, 6, 20])
@pytest.mark.parametrize("seed", range(3))
def test_halves_find_a_cut_that_resamples_repeat(features, seed):
    points = np.random.default_rng(seed).normal(size=(600, features))
    points[:300, 0] += 20
    found = judged(points, k=3)
    assert found["unstable"]
    if (features, seed) == (2, 1):
        assert min(found["jaccard"].values()) > 0.7


def test_halves_by_hand():
    points = np.array([0.0, 1.0, 10.0, 11.0] * 4)[:, None]
    found = judge_stability(points, [0, 1, 2, 2] * 4, k=2, seeds=2, bootstraps=2)
    # Either half finds 0 with 1, and 10 with 11; both agree on what is most like each of the three
    assert found["halves"] == {0: 1.0, 1: 1.0, 2: 1.0}
    assert found["jaccard"][2] == 1.0


def test_clusters_of_noise_do_not_come_back():
    found = judged(np.random.default_rng(0).normal(size=(1000, 20)))
    assert found["ari_mean"] < 0.2
    assert found["unstable"] == list(range(20))


def test_clusters_of_a_round_map_come_back_in_part():
    found = judged(np.random.default_rng(0).normal(size=(1000, 2)))
    assert found["ari_mean"] < 0.75
    assert len(found["unstable"]) >= 5


def test_the_seed_decides(two_blobs):
    labels = kmeans(two_blobs, 5).labels
    first, again, other = (
        judge_stability(two_blobs, labels, k=5, seeds=2, seed=s) for s in (0, 0, 2**32 - 1)
    )
    assert first == again != other


def test_noise_is_no_cluster():
    points = make_blobs([100, 60], 2, centers=[[0, 0], [40, 0]], random_state=0)[0]
    points = np.concatenate([points, np.random.default_rng(0).uniform(-500, 500, (20, 2))])
    labels = cluster_points(points, "hdbscan").labels
    assert -1 in labels
    found = judge_stability(points, labels, "hdbscan", bootstraps=5)
    assert set(found["jaccard"]) == set(labels.tolist()) - {-1}


def test_no_clusters_have_nothing_to_come_back():
    found = judge_stability(np.eye(4), [-1] * 4, "hdbscan", seeds=2, bootstraps=2)
    assert (found["jaccard"], found["unstable"], found["ari_mean"]) == ({}, [], 1.0)


def test_as_many_clusters_as_points_are_judged_on_resamples_that_hold_fewer():
    points = np.arange(20.0)[:, None]
    found = judge_stability(points, kmeans(points, 20).labels, k=20, bootstraps=5)
    assert set(found["jaccard"].values()) == {1.0}


def test_constant_points_are_one_cluster_that_comes_back():
    found = judge_stability(np.ones((30, 3)), [0] * 30, k=1)
    assert (found["ari_least"], found["jaccard"]) == (1.0, {0: 1.0})


def test_what_does_not_fit_is_refused(two_blobs):
    labels = [0] * 400
    with pytest.raises(DataError, match=r"400 points and clusters of shape \(399,\)"):
        judge_stability(two_blobs, labels[1:])
    with pytest.raises(DataError, match=r"400 points and clusters of shape \(400, 1\)"):
        judge_stability(two_blobs, np.zeros((400, 1)))
    with pytest.raises(OptionError, match="seeds must be an integer of at least 2"):
        judge_stability(two_blobs, labels, seeds=1)
    with pytest.raises(OptionError, match="bootstraps must be an integer of at least 1"):
        judge_stability(two_blobs, labels, bootstraps=0)
    with pytest.raises(OptionError, match="The clustering must be one of kmeans, mixture, hdbscan"):
        judge_stability(two_blobs, labels, "leiden")
    with pytest.raises(OptionError, match="k must be an integer of at least 1"):
        judge_stability(two_blobs, labels, k=0)


# Jaccard


def test_jaccard_by_hand():
    #  a: {0, 1, 2}; b: {3, 4}. others: 7: {0, 1}, 8: {2, 3}, noise: {4}
    assert best_jaccard(list("aaabb"), [7, 7, 8, 8, -1]) == {"a": 2 / 3, "b": 1 / 3}
    assert best_jaccard([0, 0, -1, -1], [3, 3, 3, 3]) == {0: 0.5}
    assert best_jaccard([0, 1], [-1, -1]) == {0: 0.0, 1: 0.0}


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), min_size=1, max_size=30))
def test_jaccard_is_that_of_sets(rows):
    sets = [
        {c: {i for i, row in enumerate(rows) if row[side] == c} for c in {row[side] for row in rows} - {-1}}
        for side in (0, 1)
    ]
    expected = {
        c: max((len(mine & other) / len(mine | other) for other in sets[1].values()), default=0)
        for c, mine in sets[0].items()
    }
    assert best_jaccard(*zip(*rows, strict=True)) == pytest.approx(expected)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.permutations(range(5)))
def test_names_do_not_matter(clusters, names):
    renamed = [names[c] for c in clusters]
    assert set(best_jaccard(clusters, renamed).values()) == {1.0}


# Runs


def test_runs_by_hand():
    first, second, third = [0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]
    found = compare_runs([first, second, third])
    odd = adjusted_rand_score(first, third)
    assert found["n"] == 3
    assert found["ari_least"] == pytest.approx(odd)
    assert found["ari_mean"] == pytest.approx((1 + odd + odd) / 3)
    assert found["jaccard"] == {0: pytest.approx((1 + 2 / 3) / 2), 1: pytest.approx((1 + 3 / 4) / 2)}


def test_runs_may_differ_in_the_number_of_clusters_and_have_noise():
    found = compare_runs([np.array([0, 0, 1, 1, -1]), np.array([0, 0, 0, 0, -1])])
    assert found["jaccard"] == {0: 0.5, 1: 0.5}
    assert (
        found["ari_mean"]
        == found["ari_least"]
        == pytest.approx(adjusted_rand_score([0, 0, 1, 1, 2], [0, 0, 0, 0, 1]))
    )


def test_runs_that_cannot_be_compared_are_refused():
    with pytest.raises(DataError, match=r"at least two clusterings to compare. Received 1"):
        compare_runs([[0, 1]])
    with pytest.raises(DataError, match="one value for each image"):
        compare_runs([[0, 1], [0, 1, 1]])

"""Neighbourhoods: scikit-learn's trustworthiness, ranks by hand, and what chance gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

from caescope.analysis import neighbourhoods
from caescope.analysis.neighbourhoods import judge_map
from caescope.errors import DataError, OptionError


@pytest.fixture(scope="module")
def digits():
    latents = load_digits(return_X_y=True)[0][:1000].astype(np.float32)
    latents += np.random.default_rng(0).normal(0, 1e-3, latents.shape).astype(np.float32)  # no ties
    return latents, PCA(2, random_state=0).fit_transform(latents)


def shared(latents, points, k: int) -> float:
    """Return the share of nearest neighbours that are the same in both."""
    sets = [
        NearestNeighbors(n_neighbors=k).fit(x).kneighbors(return_distance=False) for x in (latents, points)
    ]
    return float(np.mean([len(np.intersect1d(*pair)) / k for pair in zip(*sets, strict=True)]))


@given(st.integers(0, 1000), st.integers(3, 60), st.integers(1, 9), st.integers(1, 40))
def test_both_figures_are_those_of_scikit_learn(seed, n, features, neighbours):
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(n, features)).astype(np.float32)
    points = (latents[:, [0, -1]] + rng.normal(0, 0.5, (n, 2))).astype(np.float32)
    found = judge_map(latents, points, neighbours)
    k = found["neighbours"]
    assert k == min(neighbours, (n - 1) // 2)
    assert found["images"] == n
    assert found["trustworthiness"] == pytest.approx(
        trustworthiness(latents, points, n_neighbors=k), abs=1e-12
    )
    assert found["preservation"] == pytest.approx(shared(latents, points, k), abs=1e-12)
    assert 0 <= found["trustworthiness"] <= 1


def test_both_figures_by_hand():
    # The first and the last image change places on the map. The nearest to each image on the map have these
    # ranks in the latents: 3, 4, 1, 1, 3; what is beyond 1 adds up to 7.
    latents = np.array([[0.0], [1.0], [3.0], [7.0], [15.0]])
    points = np.array([[15.0, 2], [1, 2], [3, 2], [7, 2], [0, 2]])
    assert judge_map(latents, points, neighbours=1) == {
        "trustworthiness": pytest.approx(1 - 7 * 2 / (5 * 1 * (2 * 5 - 3 * 1 - 1))),
        "preservation": pytest.approx(2 / 5),
        "chance": 1 / 4,
        "neighbours": 1,
        "images": 5,
    }


def test_a_map_that_is_only_turned_moved_and_scaled_keeps_all(rng):
    latents = rng.normal(size=(200, 2))
    turned = 1000 * latents @ np.array([[0.6, -0.8], [0.8, 0.6]]) + [3, -7]
    for points in (latents, turned):
        found = judge_map(latents, points)
        assert (found["trustworthiness"], found["preservation"]) == (1, 1)


def test_a_shuffled_map_is_at_chance(digits, rng):
    latents, points = digits
    found = judge_map(latents, rng.permutation(points))
    n, k = 1000, 15
    expected = 1 - (n - 1 - k) * (n - k) / ((n - 1) * (2 * n - 3 * k - 1))  # ranks at random from 1 to n - 1
    assert found["trustworthiness"] == pytest.approx(expected, abs=0.02)
    assert found["chance"] == k / (n - 1)
    assert found["preservation"] == pytest.approx(found["chance"], abs=0.005)
    kept = judge_map(latents, points)
    assert kept["trustworthiness"] > 0.8
    assert kept["preservation"] > 5 * kept["chance"]


def test_of_many_images_a_sample_is_ranked_against_all(digits, monkeypatch):
    latents, points = digits
    whole = judge_map(latents, points)
    monkeypatch.setattr(neighbourhoods, "PAIRS", 200_000)
    monkeypatch.setattr(neighbourhoods, "FEWEST_JUDGED", 100)
    found = [judge_map(latents, points, seed=seed) for seed in range(40)]
    assert {one["images"] for one in found} == {200}
    assert judge_map(latents, points, seed=0) == found[0]
    for name in ("trustworthiness", "preservation"):
        values = np.array([one[name] for one in found])
        assert values.std() > 0
        assert values == pytest.approx(whole[name], abs=0.05)
        assert values.mean() == pytest.approx(whole[name], abs=0.005)  # no bias
    monkeypatch.setattr(neighbourhoods, "PAIRS", 1)
    assert judge_map(latents, points)["images"] == 100


def test_blocks_change_nothing(digits, monkeypatch):
    whole = judge_map(*digits)
    monkeypatch.setattr(neighbourhoods, "CELLS", 7000)
    assert judge_map(*digits) == whole


def test_latents_far_from_zero_lose_nothing(rng):
    latents = (1000 + 0.01 * rng.normal(size=(100, 4))).astype(np.float32)
    points = rng.normal(size=(100, 2))
    exact = latents.astype(np.float64) - 1000
    found = judge_map(latents, points)["trustworthiness"]
    assert found == pytest.approx(trustworthiness(exact, points, n_neighbors=15), abs=1e-3)


def test_images_equally_far_away_share_the_best_rank():
    same = judge_map(np.full((20, 3), 0.1), np.random.default_rng(0).normal(size=(20, 2)))
    assert (same["trustworthiness"], same["preservation"]) == (1, 1)
    # Four copies each of two images, kept apart on the map: whichever copy is nearest is a right one.
    latents = np.repeat([[0.0, 0.0], [1.0, 1.0]], 4, axis=0)
    points = latents + np.random.default_rng(0).normal(0, 0.01, latents.shape)
    found = judge_map(latents, points, neighbours=2)
    assert (found["trustworthiness"], found["preservation"]) == (1, 1)


@pytest.mark.parametrize(("n", "used"), [(3, 1), (4, 1), (5, 2), (30, 14), (31, 15), (100, 15)])
def test_neighbours_are_lowered_for_few_images(n, used, rng):
    found = judge_map(rng.normal(size=(n, 3)), rng.normal(size=(n, 2)))
    assert found["neighbours"] == used
    assert 0 <= found["trustworthiness"] <= 1


def test_convolutional_latents_are_judged_too(rng):
    latents = rng.normal(size=(20, 2, 2, 3))
    points = rng.normal(size=(20, 2))
    assert judge_map(latents, points) == judge_map(latents.reshape(20, 12), points)


def test_what_cannot_be_judged_is_refused(rng):
    latents, points = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    message = r"same images\. Received 20 latents and 19 points\. Give both"
    with pytest.raises(DataError, match=message):
        judge_map(latents, points[1:])
    with pytest.raises(DataError, match=r"at least 3 images\. Received 2\. Add images"):
        judge_map(latents[:2], points[:2])
    with pytest.raises(DataError, match="points must be finite"):
        judge_map(latents, points * np.nan)
    with pytest.raises(DataError, match="latents must be finite"):
        judge_map(latents * np.nan, points)
    with pytest.raises(
        OptionError, match=r"neighbours must be an integer of at least 1\. Received neighbours=0"
    ):
        judge_map(latents, points, neighbours=0)
    with pytest.raises(OptionError, match="seed must be an integer from 0"):
        judge_map(latents, points, seed=-1)

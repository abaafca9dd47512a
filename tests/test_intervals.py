"""Intervals against values by hand, against closed forms, and by how often they hold the truth."""

import numpy as np
import pytest
from scipy.stats import norm

from caescope.analysis.intervals import accuracy_interval, balanced_interval, mean_interval
from caescope.errors import DataError

GROUPS = np.repeat(np.arange(10), 20)


def width(interval: tuple[float, float]) -> float:
    return interval[1] - interval[0]


def wilson(share: float, n: int) -> list[float]:
    """The roots p of (share - p)² = z² p (1 - p) / n."""
    z = norm.ppf(0.975)
    return sorted(np.roots([1 + z**2 / n, -2 * share - z**2 / n, share**2]).tolist())


def shifted_groups(rng: np.random.Generator) -> np.ndarray:
    """Values whose groups lie further apart than the images of one group."""
    return rng.normal(0, 1, 10)[GROUPS] + rng.normal(0, 0.1, 200)


def test_equal_values_leave_nothing_to_chance():
    assert mean_interval([0.25] * 7) == (0.25, 0.25)
    assert mean_interval([3.0]) == (3.0, 3.0)


def test_two_values_can_only_resample_to_their_ends_or_middle():
    # (0, 0), (0, 1), (1, 0) and (1, 1) come equally often: a quarter of the means is 0, a quarter 1
    assert mean_interval([0.0, 1.0]) == (0.0, 1.0)


def test_of_many_values_the_interval_is_that_of_the_normal_law():
    values = np.random.default_rng(1).gamma(2, size=2000)
    half = 1.96 * values.std() / np.sqrt(2000)
    np.testing.assert_allclose(mean_interval(values), values.mean() + np.array([-half, half]), atol=half / 8)


def test_means_move_and_stretch_with_their_values():
    values = np.random.default_rng(2).normal(size=50)
    low, high = mean_interval(values, seed=3)
    np.testing.assert_allclose(mean_interval(5 * values - 2, seed=3), (5 * low - 2, 5 * high - 2))


def test_the_mean_lies_in_95_of_100_intervals():
    rng = np.random.default_rng(0)
    ends = np.array([mean_interval(rng.exponential(size=100), seed=i) for i in range(300)])
    assert 0.90 <= np.mean((ends[:, 0] <= 1) & (ends[:, 1] >= 1)) <= 0.98


def test_whole_groups_are_drawn():
    # Two groups of means 0 and 1, however many images each has: (a, a), (a, b), (b, a), (b, b)
    values, groups = [0.0] * 30 + [1.0] * 10, ["a"] * 30 + ["b"] * 10
    assert mean_interval(values, groups) == (0.0, 1.0)
    assert mean_interval([0, 2, 1, 1], [7, 7, 9, 9]) == (1.0, 1.0)


def test_the_order_of_images_does_not_matter_to_groups():
    values, order = shifted_groups(np.random.default_rng(4)), np.random.default_rng(5).permutation(200)
    np.testing.assert_allclose(mean_interval(values[order], GROUPS[order]), mean_interval(values, GROUPS))


def test_groups_of_alike_images_make_intervals_wider_and_groups_of_one_do_not():
    values = shifted_groups(np.random.default_rng(6))
    assert width(mean_interval(values, GROUPS)) > 3 * width(mean_interval(values))
    assert mean_interval(values, np.arange(200)) == mean_interval(values)


def test_with_groups_the_truth_is_held_where_it_is_missed_without():
    rng, held = np.random.default_rng(7), []
    for _ in range(200):
        values = shifted_groups(rng)
        ends = np.array([mean_interval(values), mean_interval(values, GROUPS)])
        held.append((ends[:, 0] <= 0) & (ends[:, 1] >= 0))
    without, grouped = np.mean(held, axis=0)
    assert without < 0.6
    assert grouped > 0.85  # ten groups are few for a bootstrap


@pytest.mark.parametrize(("right", "n"), [(90, 100), (0, 20), (20, 20), (1, 3)])
def test_accuracy_has_the_interval_of_wilson(right, n):
    correct = np.arange(n) < right
    assert list(accuracy_interval(correct)) == pytest.approx(wilson(right / n, n), abs=1e-12)


def test_accuracy_with_groups_is_a_mean_over_groups():
    correct = shifted_groups(np.random.default_rng(8)) > 0
    assert accuracy_interval(correct, GROUPS, seed=1) == mean_interval(correct, GROUPS, seed=1)
    assert width(accuracy_interval(correct, GROUPS)) > 2 * width(accuracy_interval(correct))


def test_balanced_accuracy_weighs_classes_alike():
    # All of the 90 zeros are right, and half of the 10 ones: (1 + 0.5) / 2
    correct, codes = np.arange(100) < 95, np.repeat([0, 1], [90, 10])
    low, high = balanced_interval(correct, codes)
    half = 1.96 * np.sqrt(0.5 * 0.5 / 10) / 2
    assert (low, high) == pytest.approx((0.75 - half, 0.75 + half), abs=0.04)


def test_balanced_accuracy_of_classes_alike_is_about_accuracy():
    correct = np.random.default_rng(9).random(2000) < 0.8
    balanced = balanced_interval(correct, np.arange(2000) % 4)
    np.testing.assert_allclose(balanced, accuracy_interval(correct), atol=0.006)


def test_balanced_accuracy_with_groups_is_wider_and_copes_with_classes_of_one_group():
    correct = shifted_groups(np.random.default_rng(10)) > 0
    codes = (GROUPS >= 9).astype(int)  # the last class is that of one group, missing from many resamples
    low, high = balanced_interval(correct, codes, GROUPS)
    assert 0 <= low < high <= 1
    assert width((low, high)) > width(balanced_interval(correct, codes))


def test_the_seed_decides_alone():
    values = np.random.default_rng(11).normal(size=40)
    assert mean_interval(values, seed=5) == mean_interval(values, seed=5)
    assert mean_interval(values, seed=5) != mean_interval(values, seed=6)


def test_blocks_of_resamples_change_nothing_but_the_draw(monkeypatch):
    values = np.random.default_rng(12).normal(size=500)
    whole = mean_interval(values)
    monkeypatch.setattr("caescope.analysis.intervals.CELLS", 500 * 7)
    assert mean_interval(values) == pytest.approx(whole, abs=0.02)


@pytest.mark.parametrize("interval", [mean_interval, accuracy_interval])
def test_no_values_and_groups_that_do_not_fit_are_refused(interval):
    with pytest.raises(DataError, match=r"An interval needs finite values, at least one\. Received none"):
        interval([])
    with pytest.raises(DataError, match=r"one value for each image\. Received 2 for 3 images"):
        interval([1, 0, 1], ["a", "b"])


def test_balanced_accuracy_refuses_groups_that_do_not_fit():
    with pytest.raises(DataError, match=r"one value for each image\. Received 2 for 3 images"):
        balanced_interval([1, 0, 1], [0, 0, 1], ["a", "b"])
    with pytest.raises(DataError, match=r"codes must hold one value for each image\. Received 2 for 3"):
        balanced_interval([1, 0, 1], [0, 1])
    for groups in (None, []):
        with pytest.raises(DataError, match=r"at least one\. Received none"):
            balanced_interval([], [], groups)


def test_a_single_group_is_no_certainty():
    right = [True] * 90 + [False] * 10
    one = ["slide"] * 100
    assert accuracy_interval(right, one) == accuracy_interval(right)
    assert mean_interval(right, one) == mean_interval(right)
    assert balanced_interval(right, [0, 1] * 50, one) == balanced_interval(right, [0, 1] * 50)


def test_values_must_be_finite():
    with pytest.raises(DataError, match=r"finite values, .* Received 2 that are NaN or infinite"):
        mean_interval([1, np.nan, np.inf])

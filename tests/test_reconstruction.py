"""Reconstruction errors against sums by hand and against scikit-image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from caescope.analysis import reconstruction
from caescope.analysis.intervals import mean_interval
from caescope.analysis.reconstruction import (
    image_errors,
    image_quality,
    pick_extremes,
    quality_intervals,
    reconstruction_quality,
)
from caescope.errors import DataError, OptionError


def noisy_pair(seed: int, shape: tuple[int, ...], noise: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.random(shape, np.float32)
    return images, np.clip(images + rng.normal(0, noise, shape), 0, 1).astype(np.float32)


def reference_ssim(x: np.ndarray, y: np.ndarray, side: int = 7) -> float:
    pairs = zip(x.astype(np.float64), y.astype(np.float64), strict=True)
    return float(
        np.mean([structural_similarity(*p, channel_axis=-1, data_range=1, win_size=side) for p in pairs])
    )


def test_the_error_of_an_image_is_the_mean_of_its_squared_differences():
    images = np.zeros((2, 2, 2, 1), np.float32)
    reconstructions = images.copy()
    reconstructions[1] = [[[0.5], [0.0]], [[0.0], [1.0]]]
    assert image_errors(images, reconstructions).tolist() == [0.0, 1.25 / 4]
    assert image_errors(images, reconstructions).dtype == np.float32


@pytest.mark.parametrize("shape", [(3, 7, 7, 1), (4, 8, 8, 1), (3, 28, 37, 3), (2, 64, 40, 3)])
def test_ssim_and_psnr_equal_scikit_image(shape):
    x, y = noisy_pair(1, shape)
    quality = reconstruction_quality(x, y)
    pairs = list(zip(x.astype(np.float64), y.astype(np.float64), strict=True))
    assert quality["ssim"] == pytest.approx(reference_ssim(x, y), abs=1e-6)
    assert quality["psnr"] == pytest.approx(
        np.mean([peak_signal_noise_ratio(*pair, data_range=1) for pair in pairs])
    )
    assert quality["mse"] == pytest.approx(np.mean([np.mean((a - b) ** 2) for a, b in pairs]))


@pytest.mark.parametrize(("shape", "side"), [((2, 3, 3, 1), 3), ((2, 4, 9, 3), 3), ((2, 6, 6, 1), 5)])
def test_small_images_use_the_largest_odd_window_that_fits(shape, side):
    x, y = noisy_pair(2, shape)
    assert reconstruction_quality(x, y)["ssim"] == pytest.approx(reference_ssim(x, y, side), abs=1e-6)


@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (2, 2, 2, 3), (2, 1, 30, 1)])
def test_windows_of_one_pixel_compare_brightness(shape):
    x, y = noisy_pair(3, shape)
    a, b = x.astype(float), y.astype(float)
    brightness = ((2 * a * b + 1e-4) / (a * a + b * b + 1e-4)).mean()
    assert reconstruction_quality(x, y)["ssim"] == pytest.approx(brightness)


def test_flat_images_have_the_similarity_of_their_brightness():
    black, white = np.zeros((1, 16, 16, 1)), np.ones((1, 16, 16, 1))
    assert reconstruction_quality(black, white)["ssim"] == pytest.approx(1e-4 / (1 + 1e-4))
    assert reconstruction_quality(black, white)["psnr"] == 0.0


def test_an_exact_reconstruction_counts_as_100_db_and_leaves_the_mean_finite():
    x, y = noisy_pair(4, (2, 8, 8, 1))
    y[0] = x[0]
    other = reconstruction_quality(x[1:], y[1:])["psnr"]
    assert reconstruction_quality(x, y)["psnr"] == pytest.approx((100 + other) / 2)


@given(st.integers(0, 1000), st.sampled_from([(5, 9, 8, 1), (3, 7, 12, 3)]))
def test_quality_is_symmetric_and_an_exact_copy_is_best(seed, shape):
    x, y = noisy_pair(seed, shape)
    forth, back = reconstruction_quality(x, y), reconstruction_quality(y, x)
    assert forth == pytest.approx(back)
    assert reconstruction_quality(x, x) == {"mse": 0, "psnr": 100, "ssim": pytest.approx(1)}
    assert -1 <= forth["ssim"] < 1


def test_bytes_and_floats_say_the_same():
    rng = np.random.default_rng(5)
    x, y = rng.integers(0, 256, (2, 3, 9, 9, 3), np.uint8)
    as_floats = reconstruction_quality(x / 255, (y / 255).astype(np.float32))
    assert reconstruction_quality(x, y) == pytest.approx(as_floats, rel=1e-6)
    assert reconstruction_quality(x, y / 255) == pytest.approx(as_floats, rel=1e-6)


def test_chunks_change_nothing(monkeypatch):
    x, y = noisy_pair(6, (11, 8, 8, 1))
    whole, errors = reconstruction_quality(x, y), image_errors(x, y)
    monkeypatch.setattr(reconstruction, "CHUNK_VALUES", 3 * 64)
    assert reconstruction_quality(x, y) == pytest.approx(whole, rel=1e-12)
    np.testing.assert_array_equal(image_errors(x, y), errors)


@pytest.mark.parametrize("judge", [image_errors, reconstruction_quality])
def test_images_that_cannot_be_compared_are_refused(judge):
    images = np.zeros((2, 8, 8, 1), np.float32)
    with pytest.raises(DataError, match=r"same shape. Received \(2, 8, 8, 1\) and \(1, 8, 8, 1\)"):
        judge(images, images[:1])
    with pytest.raises(DataError, match="Pixels of reconstructions must be finite"):
        judge(images, images + np.nan)
    with pytest.raises(DataError, match="at least one image"):
        judge(images[:0], images[:0])


def test_each_figure_has_the_interval_of_its_mean():
    quality, groups = image_quality(*noisy_pair(7, (30, 8, 8, 1))), np.arange(30) % 5
    intervals = quality_intervals(quality, groups, seed=2)
    assert intervals == {name: mean_interval(values, groups, 2) for name, values in quality.items()}
    for name, (low, high) in quality_intervals(quality).items():
        assert low < quality[name].mean() < high
    with pytest.raises(DataError, match="one value for each image"):
        quality_intervals(quality, groups[:4])


def test_extremes_are_the_ends_and_the_middle_of_the_errors_in_order():
    errors = np.array([0.5, 0.1, 0.9, 0.3, 0.7, 0.2, 0.8, 0.4, 0.6])
    picked = pick_extremes(errors, n=3)
    assert errors[picked["best"]].tolist() == [0.1, 0.2, 0.3]
    assert errors[picked["median"]].tolist() == [0.4, 0.5, 0.6]
    assert errors[picked["worst"]].tolist() == [0.9, 0.8, 0.7]
    assert list(picked) == ["best", "median", "worst"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 8))
def test_the_middle_holds_the_median_and_nothing_lies_beyond_the_ends(values, n):
    errors = np.array(values)
    best, median, worst = (errors[rows] for rows in pick_extremes(errors, n).values())
    count = min(n, len(errors))
    assert len(best) == len(median) == len(worst) == count
    assert best.max() == np.sort(errors)[count - 1]
    assert worst.min() == np.sort(errors)[-count]
    below, above = np.sum(errors < median.min()), np.sum(errors > median.max())
    assert max(below, above) <= (len(errors) - count + 1) // 2


def test_of_equal_errors_the_earlier_image_comes_first():
    picked = pick_extremes(np.zeros(6), n=2)
    assert {name: rows.tolist() for name, rows in picked.items()} == {
        "best": [0, 1],
        "median": [2, 3],
        "worst": [0, 1],
    }
    assert pick_extremes([0.2, 0.1, 0.2], n=1)["worst"].tolist() == [0]


def test_fewer_images_than_asked_for_are_all_picked():
    picked = pick_extremes([0.2, 0.1], n=5)
    assert [rows.tolist() for rows in picked.values()] == [[1, 0], [1, 0], [0, 1]]


def test_extremes_of_what_are_no_errors_are_refused():
    with pytest.raises(DataError, match=r"one finite number for each image.*NaN or infinity in 1"):
        pick_extremes([0.1, np.nan])
    with pytest.raises(DataError, match=r"one finite number for each image.*shape \(0,\)"):
        pick_extremes([])
    with pytest.raises(OptionError, match="n must be an integer of at least 1"):
        pick_extremes([0.1], n=0)

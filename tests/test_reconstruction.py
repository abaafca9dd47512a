"""Reconstruction errors against sums by hand and against scikit-image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from caescope.analysis import reconstruction
from caescope.analysis.reconstruction import image_errors, reconstruction_quality
from caescope.errors import DataError


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

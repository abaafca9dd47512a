"""Principal components against numpy's SVD; histograms and mean colours by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caescope.analysis import baselines
from caescope.analysis.baselines import PixelPCA, intensity_histogram, mean_colour
from caescope.errors import DataError, OptionError


def smooth_images(n: int, shape=(6, 5, 1), seed: int = 0) -> np.ndarray:
    """Images of few directions and a little noise, float32 in [0, 1]."""
    rng = np.random.default_rng(seed)
    scores, directions = rng.normal(size=(n, 4)) * [8, 4, 2, 1], rng.normal(size=(4, np.prod(shape)))
    pixels = 0.5 + 0.01 * (scores @ directions) + rng.normal(0, 0.01, (n, np.prod(shape)))
    return np.clip(pixels, 0, 1).reshape(n, *shape).astype(np.float32)


def svd_errors(fitted: np.ndarray, images: np.ndarray, k: int) -> np.ndarray:
    """The mean squared error of each image, projected on the first k right singular vectors."""
    table, others = (a.reshape(len(a), -1).astype(np.float64) for a in (fitted, images))
    mean = table.mean(axis=0)
    directions = np.linalg.svd(table - mean, full_matrices=False)[2][:k]
    centred = others - mean
    return np.square(centred - centred @ directions.T @ directions).mean(axis=1)


# 40 and 400 images of 30 pixels, 30 of 150: each is another solver of scikit-learn's
@pytest.mark.parametrize(("n", "shape"), [(40, (6, 5, 1)), (400, (6, 5, 1)), (30, (10, 5, 3))])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_errors_are_those_of_a_projection_on_singular_vectors(n, shape, k):
    images, others = smooth_images(n, shape), smooth_images(11, shape, seed=1)
    pca = PixelPCA(k).fit(images)
    np.testing.assert_allclose(pca.errors(images), svd_errors(images, images, k), rtol=1e-3)
    np.testing.assert_allclose(pca.errors(others), svd_errors(images, others, k), rtol=1e-3)
    assert pca.errors(images).dtype == np.float32


def test_the_floor_is_what_the_smallest_eigenvalues_leave():
    images = smooth_images(300)
    eigenvalues = np.linalg.eigvalsh(np.cov(images.reshape(300, -1).astype(np.float64).T, bias=True))
    floor = PixelPCA(4).fit(images).errors(images).mean(dtype=np.float64)
    assert floor == pytest.approx(eigenvalues[:-4].sum() / 30, rel=1e-5)


def test_large_images_are_solved_closely_enough():
    images = smooth_images(600, (30, 20, 1))
    pca = PixelPCA(4).fit(images)
    assert pca.errors(images).mean() == pytest.approx(svd_errors(images, images, 4).mean(), rel=1e-4)


@given(st.integers(1, 8), st.integers(0, 100))
def test_no_other_linear_variables_do_better(k, seed):
    images = smooth_images(25, seed=seed)
    table = images.reshape(25, -1).astype(np.float64)
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(30, k)))[0]
    centred = table - table.mean(axis=0)
    other = np.square(centred - centred @ basis @ basis.T).mean()
    assert PixelPCA(k).fit(images).errors(images).mean() <= other * (1 + 1e-5)


def test_scores_keep_distances_along_the_components():
    images = smooth_images(50)
    scores = PixelPCA(30).fit(images).transform(images)
    assert scores.shape == (50, 30)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-5)
    apart = np.linalg.norm((images[0] - images[1]).ravel())
    assert np.linalg.norm(scores[0] - scores[1]) == pytest.approx(apart, rel=1e-4)


def test_bytes_and_floats_say_the_same():
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 3), np.uint8)
    floats = (images / 255).astype(np.float32)
    np.testing.assert_allclose(
        PixelPCA(5).fit(images).errors(images), PixelPCA(5).fit(floats).errors(floats), rtol=1e-4
    )
    np.testing.assert_array_equal(intensity_histogram(images, 10), intensity_histogram(floats, 10))
    np.testing.assert_allclose(mean_colour(images), mean_colour(floats), rtol=1e-6)


def test_errors_are_not_clipped():
    images = np.repeat([0.0, 1.0], [1, 9])[:, None, None] * np.ones((10, 2, 2))
    pca = PixelPCA(1).fit(images)
    # One direction holds all there is; half-way beyond the brightest, nothing is cut off
    assert pca.errors(images).max() < 1e-9
    odd = np.array([[[1.0, 0.0], [0.0, 0.0]]])
    # Its distance from the diagonal: 1 - (1/2)² for the squared norm 1 and the unit vector (½, ½, ½, ½)
    assert pca.errors(odd) == pytest.approx([0.75 / 4], rel=1e-5)


def test_there_are_no_more_components_than_images_or_pixels():
    assert PixelPCA(50).fit(smooth_images(8)).n_components_ == 8
    assert PixelPCA(50).fit(smooth_images(80)).n_components_ == 30
    assert PixelPCA(3).fit(smooth_images(80)).n_components_ == 3
    assert PixelPCA(50).fit(smooth_images(80)).errors(smooth_images(5, seed=3)).max() < 1e-9


def test_too_many_values_are_sampled_the_same_way_each_time(monkeypatch):
    images = smooth_images(100)
    assert PixelPCA(2).fit(images).fitted_on == 100
    monkeypatch.setattr(baselines, "MOST_FITTED", 40 * 30)
    first, again, other = (PixelPCA(2, seed).fit(images) for seed in (1, 1, 2))
    assert first.fitted_on == 40
    np.testing.assert_array_equal(first.errors(images), again.errors(images))
    assert (first.errors(images) != other.errors(images)).any()
    best = svd_errors(images, images, 2).mean()
    assert best < first.errors(images).mean() < 1.2 * best


def test_images_that_are_all_the_same_have_no_error():
    images = np.full((5, 3, 3, 1), 0.3, np.float32)
    pca = PixelPCA(4).fit(images)
    np.testing.assert_allclose(pca.transform(images), 0, atol=1e-6)
    np.testing.assert_allclose(pca.errors(images), 0, atol=1e-12)


def test_blocks_change_nothing(monkeypatch):
    images = smooth_images(23)
    pca = PixelPCA(3).fit(images)
    whole = pca.errors(images), pca.transform(images), intensity_histogram(images), mean_colour(images)
    monkeypatch.setattr(baselines, "BLOCK_VALUES", 30 * 4)
    monkeypatch.setattr(baselines, "PCA_BLOCK_VALUES", 30 * 4)
    parts = pca.errors(images), pca.transform(images), intensity_histogram(images), mean_colour(images)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_a_histogram_counts_each_channel_by_itself():
    image = np.zeros((1, 2, 2, 3))
    image[0, :, :, 0] = [[0.0, 0.24], [0.25, 0.5]]
    image[0, :, :, 1] = [[0.74, 0.75], [0.99, 1.0]]
    expected = [0.5, 0.25, 0.25, 0, 0, 0, 0.25, 0.75, 1, 0, 0, 0]
    assert intensity_histogram(image, 4).tolist() == [expected]
    assert intensity_histogram(image).dtype == np.float32


@given(st.integers(1, 256), st.sampled_from([1, 3]), st.integers(0, 100))
def test_a_histogram_is_numpys(bins, channels, seed):
    images = np.random.default_rng(seed).random((3, 7, 4, channels), np.float32)
    shares = intensity_histogram(images, bins).reshape(3, channels, bins)
    np.testing.assert_allclose(shares.sum(axis=2), 1, rtol=1e-5)
    if bins & (bins - 1) == 0:  # edges that float32 holds exactly
        for i, channel in np.ndindex(3, channels):
            counts = np.histogram(images[i, ..., channel], bins, (0, 1))[0]
            np.testing.assert_allclose(shares[i, channel], counts / 28, rtol=1e-6)


def test_a_mean_colour_is_the_mean_of_each_channel():
    image = np.zeros((1, 2, 2, 3), np.uint8)
    image[0, 0, 0] = 255, 51, 0
    np.testing.assert_allclose(mean_colour(image), [[0.25, 0.05, 0]], rtol=1e-6)
    assert mean_colour(np.full((2, 3, 3), 0.5)).tolist() == [[0.5], [0.5]]


def test_input_that_cannot_be_used_is_refused():
    images = smooth_images(9)
    with pytest.raises(OptionError, match="n_components must be an integer of at least 1"):
        PixelPCA(0)
    with pytest.raises(OptionError, match="seed must be an integer from 0"):
        PixelPCA(2, seed=-1)
    with pytest.raises(DataError, match=r"PCA needs at least 2 images\. Received 1"):
        PixelPCA(2).fit(images[:1])
    with pytest.raises(DataError, match=r"same shape\. Received no fit and images of shape \(6, 5, 1\)"):
        PixelPCA(2).errors(images)
    with pytest.raises(DataError, match=r"Received \(6, 5, 1\) and images of shape \(5, 6, 1\)"):
        PixelPCA(2).fit(images).transform(images.transpose(0, 2, 1, 3))
    with pytest.raises(OptionError, match="bins must be an integer from 1 to 256"):
        intensity_histogram(images, 0)
    for use in (PixelPCA(2).fit, intensity_histogram, mean_colour):
        with pytest.raises(DataError, match="Pixels of images must be finite"):
            use(images * np.nan)
        with pytest.raises(DataError, match="at least one image"):
            use(images[:0])

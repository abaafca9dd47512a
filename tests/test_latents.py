"""The normal form of latents, and the exact count of dead ones."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caescope.analysis import latents as module
from caescope.analysis.latents import audit_latents, flatten_latents, parse_latents
from caescope.analysis.sweeps import sweep_latents
from caescope.errors import DataError, OptionError


@given(st.sets(st.integers(0, 11)), st.floats(-1e6, 1e6, width=32), st.integers(0, 100))
def test_dead_latents_are_counted_exactly(dead, value, seed):
    latents = np.random.default_rng(seed).normal(size=(30, 12)).astype(np.float32)
    latents[:, sorted(dead)] = value
    audit = audit_latents(latents)
    assert audit["features"] == 12
    assert audit["dead"] == len(dead)
    assert set(np.flatnonzero(audit["dead_mask"])) == dead
    np.testing.assert_allclose(audit["std"], latents.astype(np.float64).std(axis=0), rtol=1e-9, atol=1e-9)


def test_rounding_of_float32_is_not_life_but_small_signals_are():
    constant = np.float32(1000)
    latents = np.full((4, 3), constant)
    latents[0, 0] = np.nextafter(constant, np.float32(2000))
    latents[0, 1] = constant * np.float32(1.0001)
    latents[:, 2] = [0, 1e-20, 0, 0]
    assert audit_latents(latents)["dead_mask"].tolist() == [True, False, False]


def test_convolutional_latents_are_flattened_with_channels_fastest():
    latents = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    flat = flatten_latents(latents)
    assert flat.shape == (2, 60)
    assert flat[1, 2 * 20 + 3 * 5 + 4] == latents[1, 2, 3, 4]
    latents[:, 0, 1, 2] = 7
    assert np.flatnonzero(audit_latents(latents)["dead_mask"]).tolist() == [7]


def test_latents_become_float32_and_stay_where_they_are():
    latents = np.zeros((3, 2), np.float32)
    assert parse_latents(latents).base is latents
    for dtype in (bool, np.uint8, np.int64, np.float16, np.float64):
        assert parse_latents(np.ones((3, 2), dtype)).dtype == np.float32
    with pytest.raises(DataError, match="for 3 of 3 images"):
        parse_latents(np.full((3, 2), np.inf, np.float16))


@pytest.mark.parametrize(
    ("latents", "message"),
    [
        ([[0, np.nan], [1, 2]], "NaN, infinity or larger numbers for 1 of 2 images"),
        ([[0, 1], [-np.inf, np.inf]], "NaN, infinity or larger numbers for 1 of 2 images"),
        ([[0, 1e300], [1, 2]], "NaN, infinity or larger numbers for 1 of 2 images"),
        ([["a", "b"]], "latents must be numbers"),
        ([[1j]], "latents must be numbers"),
        ([1.0, 2.0], r"shape \(2,\)"),
        (3.0, r"shape \(\)"),
        (np.zeros((0, 5)), "at least one of each"),
        (np.zeros((5, 0)), "at least one of each"),
        ([[1, 2], [3]], "rows of different lengths"),
    ],
)
def test_latents_that_cannot_be_used_are_refused(latents, message):
    with pytest.raises(DataError, match=message):
        audit_latents(latents)


def test_eigenvalues_3_and_1_are_three_quarters_and_one_and_16_tenths_of_a_rank():
    # Along (1, 1) and (1, -1): ±√6 and ±√2 over four images have variances 3 and 1
    turn = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    latents = np.array([[6**0.5, 0], [-(6**0.5), 0], [0, 2**0.5], [0, -(2**0.5)]]) @ turn
    audit = audit_latents(latents)
    np.testing.assert_allclose(audit["spectrum"], [0.75, 0.25], atol=1e-7)
    assert audit["effective_rank"] == pytest.approx(16 / 10)
    # Variances 2 and 2, covariance (3 - 1) / 2
    assert audit["strongest_correlation"] == pytest.approx(0.5)


@pytest.mark.parametrize(("n_images", "features"), [(200, 6), (5, 9), (1, 3)])
def test_spectrum_and_correlation_are_numpys(n_images, features):
    rng = np.random.default_rng(n_images)
    latents = 100 + rng.normal(size=(n_images, features)) @ rng.normal(size=(features, features))
    audit = audit_latents(latents)
    latents = latents.astype(np.float32).astype(np.float64)
    eigenvalues = np.linalg.svd(latents - latents.mean(axis=0), compute_uv=False) ** 2
    expected = eigenvalues / (eigenvalues.sum() or 1)
    np.testing.assert_allclose(audit["spectrum"], expected, atol=1e-12)
    assert audit["correlation"].dtype == np.float32
    if n_images > 1:
        correlation = np.corrcoef(latents, rowvar=False)
        np.testing.assert_allclose(audit["correlation"], correlation, atol=1e-6)
        np.fill_diagonal(correlation, 0)
        assert audit["strongest_correlation"] == pytest.approx(np.abs(correlation).max())


@given(st.integers(1, 10), st.floats(1e-12, 1e12), st.integers(0, 100))
def test_k_independent_variables_alike_have_an_effective_rank_of_k_in_any_unit(k, scale, seed):
    directions = np.linalg.qr(np.random.default_rng(seed).normal(size=(40, k + 1)) + np.eye(40, k + 1))[0]
    directions = np.linalg.qr(np.column_stack([np.ones(40), directions[:, :k]]))[0][:, 1:]
    audit = audit_latents(directions * scale)
    assert audit["effective_rank"] == pytest.approx(k, rel=1e-5)
    assert audit["strongest_correlation"] < 1e-5
    assert audit_latents(directions[:, :1] * np.ones(k + 1) * scale)["effective_rank"] == pytest.approx(1)


def planted(n_images: int = 300, features: int = 8) -> np.ndarray:
    """Noise, of which 5 is 2 in another unit, 7 is -2, 6 is nearly 0, and 3 is constant."""
    rng = np.random.default_rng(3)
    latents = rng.normal(size=(n_images, features)).astype(np.float32)
    latents[:, 5] = 3 * latents[:, 2] + 10
    latents[:, 7] = -latents[:, 2]
    latents[:, 6] = latents[:, 0] + 0.5 * rng.normal(size=n_images)  # r of about 0.89
    latents[:, 3] = 4
    return latents


def test_duplicates_are_found_once_each_whatever_their_sign_and_unit():
    audit = audit_latents(planted())
    assert audit["duplicates"] == [(2, 5), (2, 7)]
    assert audit["strongest_correlation"] == pytest.approx(1)
    assert audit_latents(planted()[:, [0, 6]])["strongest_correlation"] == pytest.approx(0.89, abs=0.02)
    assert audit_latents(planted()[:, [0, 6]])["duplicates"] == []


def test_dead_variables_correlate_with_nothing_not_even_one_another():
    latents = planted()
    latents[:, 4] = 1e6
    latents[0, 4] = np.nextafter(np.float32(1e6), np.float32(2e6))
    audit = audit_latents(latents)
    others = audit["correlation"] - np.eye(8)
    assert not others[[3, 4]].any()
    assert not others[:, [3, 4]].any()
    assert np.diag(audit["correlation"]).tolist() == [1] * 8
    without = audit_latents(np.delete(latents, 4, axis=1))
    assert audit["effective_rank"] == pytest.approx(without["effective_rank"], rel=1e-9)


@pytest.mark.parametrize("shape", [(50, 4), (1, 4), (50, 2100)])
def test_where_nothing_varies_all_is_zero(shape):
    audit = audit_latents(np.full(shape, 0.1, np.float32))
    assert audit["dead"] == shape[1]
    assert audit["spectrum"].tolist() == [0] * min(shape)
    assert (audit["effective_rank"], audit["strongest_correlation"], audit["duplicates"]) == (0, 0, [])


def test_correlations_survive_a_large_offset_and_large_and_small_numbers():
    rng = np.random.default_rng(4)
    latents = rng.normal(size=(500, 2)) @ [[1, 0.6], [0, 0.8]]
    expected = audit_latents(latents)["strongest_correlation"]
    for changed in (latents * 1e14, latents * 1e-30, latents + 1000):
        assert audit_latents(changed)["strongest_correlation"] == pytest.approx(expected, abs=1e-4)


def test_many_features_are_audited_on_images_instead(monkeypatch):
    latents = planted(120, 90)
    whole = audit_latents(latents)
    monkeypatch.setattr(module, "MOST_CORRELATED", 40)
    audit = audit_latents(latents)
    assert audit["correlation"] is None
    assert audit["duplicates"] == whole["duplicates"]
    np.testing.assert_allclose(audit["spectrum"][:90], whole["spectrum"], atol=1e-12)
    assert audit["effective_rank"] == pytest.approx(whole["effective_rank"])
    assert audit["strongest_correlation"] == pytest.approx(whole["strongest_correlation"], abs=1e-6)
    monkeypatch.setattr(module, "MOST_SAMPLED", 60)
    sampled = audit_latents(latents)
    assert sampled["duplicates"] == whole["duplicates"]
    assert sampled["spectrum"].shape == (60,)
    assert sampled["spectrum"].sum() == pytest.approx(1)


def test_blocks_change_nothing(monkeypatch):
    latents = planted()
    whole = audit_latents(latents)
    monkeypatch.setattr(module, "BLOCK_VALUES", 700)
    audit = audit_latents(latents)
    np.testing.assert_allclose(audit["correlation"], whole["correlation"], atol=1e-6)
    np.testing.assert_allclose(audit["spectrum"], whole["spectrum"], atol=1e-12)
    np.testing.assert_allclose(audit["std"], whole["std"], rtol=1e-12)


def test_a_sweep_moves_one_variable_and_leaves_the_others_at_their_median():
    latents = np.column_stack([np.arange(101), np.arange(101) ** 2, np.full(101, 7)])
    sweep = sweep_latents(latents, n_steps=3)
    assert sweep.shape == (3, 3, 3)
    assert sweep.dtype == np.float32
    assert sweep[0].tolist() == [[1, 2500, 7], [50, 2500, 7], [99, 2500, 7]]
    assert sweep[1].tolist() == [[50, 1, 7], [50, 4901, 7], [50, 9801, 7]]
    assert sweep[2].tolist() == [[50, 2500, 7]] * 3


def test_sweeps_of_chosen_variables_come_in_their_order():
    latents = np.random.default_rng(5).normal(size=(40, 2, 3, 2))
    whole, chosen = sweep_latents(latents), sweep_latents(latents, variables=[7, 2])
    assert chosen.shape == (2, 7, 12)
    np.testing.assert_array_equal(chosen, whole[[7, 2]])
    ends = sweep_latents(latents, 2, low=0, high=100, variables=[0])[0, :, 0]
    np.testing.assert_allclose(ends, [latents[:, 0, 0, 0].min(), latents[:, 0, 0, 0].max()], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_steps": 1}, "n_steps must be an integer of at least 2"),
        ({"low": -1}, "low must be an integer from 0 to 99"),
        ({"low": 60, "high": 60}, "high must be an integer from 61 to 100"),
        ({"variables": [0, 3]}, "variables must be integers from 0 to 2"),
        ({"variables": [-1]}, "variables must be integers from 0 to 2"),
        ({"variables": ["z000"]}, "variables must be integers from 0 to 2"),
        ({"variables": 1}, "variables must be integers from 0 to 2"),
    ],
)
def test_sweeps_that_cannot_be_made_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        sweep_latents(np.eye(3), **options)


def test_other_features_than_before_are_refused():
    with pytest.raises(DataError, match=r"points must have 2 features, as before\. Received 3"):
        parse_latents(np.zeros((4, 3)), "points", features=2)


def test_analysis_needs_no_torch():
    modules = ", ".join(
        f"caescope.analysis.{name}"
        for name in (
            "baselines",
            "intervals",
            "reconstruction",
            "latents",
            "probe",
            "projection",
            "clustering",
            "judging",
        )
    )
    program = f"import sys, caescope.metrics, {modules}; print('torch' in sys.modules, 'umap' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]

"""The normal form of latents, and the exact count of dead ones."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caescope.analysis.latents import audit_latents, flatten_latents, parse_latents
from caescope.errors import DataError


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


def test_other_features_than_before_are_refused():
    with pytest.raises(DataError, match=r"points must have 2 features, as before\. Received 3"):
        parse_latents(np.zeros((4, 3)), "points", features=2)


def test_analysis_needs_no_torch():
    modules = ", ".join(
        f"caescope.analysis.{name}"
        for name in ("reconstruction", "latents", "probe", "projection", "clustering", "judging")
    )
    program = f"import sys, caescope.metrics, {modules}; print('torch' in sys.modules, 'umap' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]

"""How long a run trains."""

from dataclasses import replace

import numpy as np
import pytest

from caescope.callbacks import History
from caescope.data import split_source
from caescope.data.opening import open_source
from caescope.progress import Stages
from caescope.run_options import RunOptions
from caescope.steps import other_models, part_of, train

SHAPE = (8, 8, 1)


@pytest.fixture(scope="module")
def noise():
    """Images that have nothing in common, so that whatever is learnt of them is learnt by heart."""
    return split_source(open_source(np.random.default_rng(0).random((60, *SHAPE), np.float32)), 0)


def options(**given) -> RunOptions:
    how = {"latent_features": 8, "filters": (8,), "batch_size": 16, "learning_rate": 0.02, "device": "cpu"}
    return RunOptions(**how | given).resolve(SHAPE, 48)


def trained(noise, tmp_path, **given) -> tuple[History, float]:
    """Return what training says, and the error of the validation images after it."""
    asked = options(**given)
    cae = asked.new_cae(SHAPE)
    history = train(cae, noise, asked, Stages(1), 0, None, tmp_path / "state")
    return history, cae.model.evaluate(part_of(noise, "validation"), verbose=0)


def test_training_ends_with_its_best_weights_once_it_learns_by_heart(noise, tmp_path, capsys):
    history, error = trained(noise, tmp_path, epochs=80, patience=5)
    errors = history.history["val_loss"]
    assert len(errors) < 80
    assert np.argmin(errors) == len(errors) - 6
    assert error == pytest.approx(min(errors), rel=1e-5)
    said = f"ended after {len(errors)} epochs, with the weights of epoch {len(errors) - 5}, the best"
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_training_that_ended_is_not_begun_again(noise, tmp_path):
    ended = trained(noise, tmp_path, epochs=80, patience=5)
    again = trained(noise, tmp_path, epochs=80, patience=5)
    assert (again[0].history, again[1]) == (ended[0].history, ended[1])


def test_all_epochs_that_are_asked_for_are_done(noise, tmp_path, capsys):
    history, error = trained(noise, tmp_path, epochs=40)
    errors = history.history["val_loss"]
    assert len(errors) == 40
    assert error == pytest.approx(errors[-1], rel=1e-5)
    assert min(errors) < errors[-1]
    assert "ended after" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "n_images", "patience"),
    [({}, 50_000, 10), ({}, 1_437, 41), ({"epochs": 400}, 1_437, None), ({"patience": 3}, 1_437, 3)],
)
def test_epochs_that_nobody_asked_for_are_waited_for_by_a_tenth(given, n_images, patience):
    assert RunOptions(device="cpu", **given).resolve(SHAPE, n_images).patience == patience


def test_other_seeds_are_trained_as_the_first(noise, tmp_path, monkeypatch):
    monkeypatch.setattr("caescope.steps.map_and_cluster", lambda latents, _: latents)
    asked = options(epochs=80, patience=5, models=2)
    found = other_models(noise, asked, Stages(0), tmp_path)
    again = replace(asked, seed=asked.seed + 1)
    cae = again.new_cae(SHAPE)
    train(cae, noise, again, Stages(0), 0, None, tmp_path / "state")
    np.testing.assert_array_equal(found[0], cae.encoder.predict(part_of(noise, "train")))

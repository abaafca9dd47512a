"""Latents gather in clusters that were found without labels."""

import numpy as np
import pytest
import torch
from scipy.stats import t as student
from sklearn.datasets import load_digits, make_blobs

from caescope import CAE
from caescope.analysis import agreement, gathering
from caescope.analysis.clustering import kmeans
from caescope.analysis.gathering import compare_gathering
from caescope.errors import OptionError
from caescope.metrics import matched_accuracy
from caescope.model.objectives.clustered import log_belonging, sharpened
from caescope.model.share import whole
from caescope.pipeline import fit, run
from caescope.refining import find_start, refine


def test_belonging_is_students_t_distribution_of_the_distance(rng):
    latents, centres = rng.normal(size=(30, 2)), rng.normal(size=(4, 2))
    distances = np.linalg.norm(latents[:, None] - centres, axis=2)
    density = student.pdf(distances, df=1)
    found = log_belonging(torch.tensor(latents), torch.tensor(centres)).exp()
    np.testing.assert_allclose(found, density / density.sum(1, keepdims=True), rtol=1e-5)


def test_sharpening_weighs_against_large_clusters():
    belonging = torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.9, 0.1]])
    weights = np.array([[0.36 / 2.4, 0.16 / 0.6], [0.81 / 2.4, 0.01 / 0.6], [0.81 / 2.4, 0.01 / 0.6]])
    found = sharpened(belonging, whole(len(belonging))).numpy()
    np.testing.assert_allclose(found, weights / weights.sum(1, keepdims=True), rtol=1e-5)
    assert found[0, 0] < 0.5 < found[1, 0]


def test_the_start_finds_how_many_clusters_there_are():
    latents, labels = make_blobs([150] * 4, 5, cluster_std=0.5, random_state=3)
    start = find_start(latents)
    assert start.k == 4
    nearest = np.linalg.norm(latents[:, None] - start.centers, axis=2).argmin(1)
    assert matched_accuracy(nearest, labels) > 0.99
    assert start.as_dict()["silhouette_curve"]["k"][0] == 2
    assert find_start(latents, k=7).as_dict() == {"k": 7, "chosen": False}


@pytest.fixture(scope="module")
def trained() -> tuple[CAE, np.ndarray, np.ndarray]:
    digits = load_digits()
    images = (digits.images[..., None] / 16).astype(np.float32)
    cae = CAE((8, 8, 1), 10, [16, 32], seed=0, precision="float32", device="cpu", objective="invariant")
    cae.model.fit(images, epochs=20, batch_size=128, verbose=0)
    return cae, images, digits.target


def test_latents_gather_more_than_by_training_on_and_images_are_still_rebuilt(trained):
    cae, images, labels = trained
    weights, objective = cae.model.get_weights(), cae.model.objective
    before, error = cae.encoder.predict(images), cae.model.evaluate(images)
    cae.model.fit(images, epochs=20, batch_size=128, verbose=0)
    without = compare_gathering(before, cae.encoder.predict(images), 10, labels)
    cae.model.set_weights(weights)
    history = refine(cae, images, find_start(before, k=10), epochs=20, batch_size=128)
    found = compare_gathering(before, cae.encoder.predict(images), 10, labels)
    assert found["after"]["silhouette"] > without["after"]["silhouette"] + 0.02
    assert found["after"]["matched"]["nmi"] > without["after"]["matched"]["nmi"]
    assert "cluster_loss" in history.history
    assert cae.model.evaluate(images) < 1.5 * error
    assert cae.model.objective is objective
    assert cae.model.learning_rate is None


def test_an_interrupted_refinement_goes_on_bit_for_bit(trained, tmp_path):
    cae, images, _ = trained
    weights = cae.model.get_weights()
    start = find_start(cae.encoder.predict(images), k=10)

    def finished(checkpoint, stop=False):
        cae.model.set_weights(weights)

        class Stop:
            def on_epoch_end(self, epoch, logs=None):
                if stop and epoch == 1:
                    raise KeyboardInterrupt

        refine(cae, images, start, 3, batch_size=256, callbacks=[Stop()], checkpoint=checkpoint)
        return cae.model.get_weights()

    whole = finished(tmp_path / "whole")
    from caescope.callbacks import Checkpoint

    with pytest.raises(KeyboardInterrupt):
        finished(Checkpoint(tmp_path / "parts", seconds=0), stop=True)
    for one, other in zip(whole, finished(tmp_path / "parts"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_comparison_says_which_labels_clusters_match_before_and_after(rng):
    labels = np.ma.masked_array(np.repeat([0, 1, 2], 40), mask=np.arange(120) % 7 == 0)
    before, after = rng.normal(size=(120, 2)), np.eye(3)[labels.data] * 9 + rng.normal(size=(120, 3))
    found = compare_gathering(before, after, 3, labels)
    assert found["after"]["matched"]["accuracy"] == 1
    assert found["before"]["matched"]["accuracy"] < 0.7
    assert found["after"]["silhouette"] > 0.7 > found["before"]["silhouette"]
    assert abs(found["agreement"]) < 0.2
    assert "matched" not in compare_gathering(before, after, 3)["after"]


@pytest.mark.parametrize("masked", [False, True])
def test_clusters_as_many_as_labels_are_found_once(rng, monkeypatch, masked):
    labels = np.ma.masked_array(np.repeat(["a", "b", "c"], 40), mask=np.arange(120) == 7 if masked else False)
    latents, known = rng.normal(size=(120, 2)), ~np.ma.getmaskarray(labels)
    tables = []
    for module in (gathering, agreement):
        monkeypatch.setattr(module, "kmeans", lambda *given: tables.append(given[0]) or kmeans(*given))
    rows = np.random.default_rng(0).permutation(120)
    expected = agreement.match_clusters(latents[rows][known[rows]], labels.data[rows][known[rows]])
    tables.clear()
    found = compare_gathering(latents, latents, 3, labels)
    assert found["before"]["matched"] == found["after"]["matched"] == expected
    assert len(tables) == (4 if masked else 2)


def test_models_beside_the_first_are_refined_too(tmp_path):
    images = np.random.default_rng(0).random((80, 8, 8, 1), dtype=np.float32)
    options = {"epochs": 2, "latent_features": 3, "clusters": 2, "stability": 0, "models": 2, "verbose": 0}
    result = run(images, tmp_path / "run", refine=2, **options)
    assert "matched" not in result.metrics["refinement"]["after"]
    assert "models" in result.metrics["stability"]


@pytest.mark.parametrize("refine", [1, 0, -3, "all", 2.5, True])
def test_refinements_that_cannot_be_are_refused(tmp_path, refine):
    with pytest.raises(OptionError, match="refine"):
        run(np.zeros((20, 8, 8, 1), np.float32), tmp_path / "run", refine=refine, verbose=0)
    assert not (tmp_path / "run").exists()


def test_a_model_that_is_only_fitted_is_refined_as_in_a_run(tmp_path):
    images = np.random.default_rng(0).random((80, 8, 8, 1), dtype=np.float32)
    options = {"epochs": 2, "latent_features": 3, "verbose": 0}
    weights = []
    for k in (None, 2):
        cae = fit(images, tmp_path / f"model-{k}", refine=k, **options)
        weights.append(cae.model.get_weights())
    run(images, tmp_path / "run", refine=2, clusters=2, stability=0, **options)
    files = [tmp_path / where / "encoder.h5" for where in ("model-2", "run/model")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert not all(np.array_equal(one, other) for one, other in zip(*weights, strict=True))

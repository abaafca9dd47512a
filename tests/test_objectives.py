"""What each objective asks of the network, and that training says when latents collapse."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from caescope import CAE
from caescope.errors import OptionError
from caescope.model.collapse import CollapseWatch, find_collapsed
from caescope.model.objective_options import OBJECTIVES
from caescope.model.options import parse_options
from caescope.views import Views

pytestmark = pytest.mark.filterwarnings("ignore:.*latents hardly differ")


@pytest.fixture
def images(rng) -> np.ndarray:
    return rng.random((48, 8, 8, 1), dtype=np.float32)


def new(objective: str, **options) -> CAE:
    given = {"seed": 0, "device": "cpu", "precision": "float32", "objective": objective} | options
    return CAE((8, 8, 1), given.pop("latent_features", 4), [4], **given)


def new_like(cae: CAE, **options) -> CAE:
    """Return one of the same objective and weights, with other options."""
    other = new(cae.options.objective, **options)
    other.model.set_weights(cae.model.get_weights())
    return other


def outcome(cae: CAE, images: np.ndarray, seed: int = 0, progress: float = 0.0):
    x = torch.from_numpy(images)
    return cae.model.objective(x, x, torch.Generator().manual_seed(seed), progress)


def test_reconstruction_is_the_loss_of_evaluate(images):
    cae = new("reconstruction")
    found = outcome(cae, images)
    assert found.loss.item() == pytest.approx(cae.model.evaluate(images), rel=1e-5)
    assert not found.parts
    np.testing.assert_allclose(found.latents.detach(), cae.encoder.predict(images), rtol=1e-4, atol=1e-5)


def test_denoising_measures_what_distorted_images_become_against_the_images(images):
    views = Views(noise=0.3)
    cae = new("denoising", views=views)
    distorted = views(torch.from_numpy(images), torch.Generator().manual_seed(5)).numpy()
    assert np.abs(distorted - images).mean() > 0.05
    assert outcome(cae, images, 5).loss.item() == pytest.approx(
        cae.model.evaluate(distorted, images), rel=1e-5
    )


def vicreg(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Return agreement, narrowness and covariance of two sets of latents, as the paper writes them."""
    agreement = float(((a - b) ** 2).mean())
    narrow = np.mean([np.maximum(0, 1 - np.sqrt(z.var(0, ddof=1) + 1e-4)).mean() for z in (a, b)])
    covariances = [np.cov(z.T) for z in (a, b)]
    overlap = np.mean([(c**2).sum() - (np.diag(c) ** 2).sum() for c in covariances]) / a.shape[1]
    return agreement, float(narrow), float(overlap)


def test_invariant_is_reconstruction_and_vicreg_as_written_down(images):
    views = Views(shift=0.2)
    cae = new("invariant", views=views, objective_weight=3)
    found = outcome(cae, images, 7)
    view = views(torch.from_numpy(images), torch.Generator().manual_seed(7)).numpy()
    agreement, narrow, overlap = vicreg(cae.encoder.predict(images), cae.encoder.predict(view))
    share = cae.model.evaluate(images) / np.mean((images - images.mean(0)) ** 2)
    assert found.loss.item() == pytest.approx(share + 3 * (agreement + narrow + 0.2 * overlap), rel=1e-4)
    assert found.parts["agreement_loss"].item() == pytest.approx(agreement, rel=1e-4)
    assert found.parts["reconstruction_loss"].item() == pytest.approx(cae.model.evaluate(images), rel=1e-5)


@pytest.mark.parametrize("n_images", [1, 2, 15])
def test_a_last_batch_of_few_images_does_not_count_deviations(images, n_images):
    cae = new("invariant")
    history = cae.model.fit(images[: 16 + n_images], batch_size=16, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    few = images[:n_images]
    found = outcome(cae, few)
    share = outcome(new_like(cae, objective_weight=0), few).loss.item()
    assert found.loss.item() == pytest.approx(share + 2.5 * found.parts["agreement_loss"].item(), rel=1e-3)


def test_a_last_batch_of_few_images_pulls_no_harder_than_others(images):
    cae = new("invariant", objective_weight=0)
    pulls = []
    for part in (images, images[:1]):
        cae.model.objective.zero_grad()
        outcome(cae, part).loss.backward()
        pulls.append(sum(w.grad.square().sum() for w in cae.model.module.parameters() if w.grad is not None))
    assert pulls[1] < 25 * pulls[0]  # the image's own floor would be none, and its pull without bound


def test_agreement_counts_for_less_and_less(images):
    cae = new("invariant", objective_weight=4)
    shares = [outcome(cae, images, progress=progress).loss.item() for progress in (0, 0.5, 1)]
    unweighted = outcome(new("invariant", objective_weight=0), images).loss.item()
    weighed = np.array(shares) - unweighted
    np.testing.assert_allclose(weighed / weighed[0], [1, 0.525, 0.05], rtol=1e-3)


def test_variational_divergence_is_that_of_normal_distributions(images):
    cae = new("variational", objective_weight=2)
    head = cae.model.objective.log_variance
    with torch.no_grad():
        head.bias.copy_(torch.tensor([-1.0, 0.0, 0.5, -4.0]))
    found = outcome(cae, images)
    mean = torch.from_numpy(cae.encoder.predict(images)).double()
    latents = torch.distributions.Normal(mean, (head.bias.detach().double() / 2).exp().expand_as(mean))
    expected = torch.distributions.kl_divergence(latents, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    assert found.parts["divergence_loss"].item() == pytest.approx(expected.item(), rel=1e-4)
    error = found.parts["reconstruction_loss"].item()
    assert found.loss.item() == pytest.approx(error + 2 * 2 * error / 64 * expected.item(), rel=1e-4)


def test_variational_draws_latents_around_their_means(images):
    cae = new("variational")
    losses = {outcome(cae, images, seed).parts["reconstruction_loss"].item() for seed in range(5)}
    assert len(losses) == 5
    with torch.no_grad():
        cae.model.objective.log_variance.bias.fill_(-100)
    narrow = outcome(cae, images).parts["reconstruction_loss"].item()
    assert narrow == pytest.approx(cae.model.evaluate(images), rel=1e-3)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_learns_to_reconstruct(objective):
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[:, None, None, None]
    images = np.tile(ramp, (1, 8, 8, 1)) * np.linspace(0.2, 1, 8, dtype=np.float32)[:, None]
    cae = new(objective, latent_features=2, views=Views(noise=0.05) if objective == "denoising" else None)
    before = cae.model.evaluate(images)
    history = cae.model.fit(images, epochs=40, batch_size=32, verbose=0).history
    assert cae.model.evaluate(images) < min(0.1 * before, 0.02)
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize(
    ("objective", "parts"),
    [
        ("reconstruction", set()),
        ("denoising", set()),
        ("invariant", {"reconstruction_loss", "agreement_loss"}),
        ("variational", {"reconstruction_loss", "divergence_loss"}),
    ],
)
def test_history_holds_what_the_loss_is_made_of(images, objective, parts):
    history = new(objective).model.fit(images, epochs=2, verbose=0, validation_split=0.25).history
    assert set(history) == {"loss", "val_loss", "learning_rate", "images_per_second"} | parts
    assert all(len(values) == 2 for values in history.values())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_seed_decides_all_that_is_random(images, objective):
    def weights(seed):
        cae = new(objective, seed=seed)
        cae.model.fit(images, epochs=2, batch_size=16, verbose=0)
        return np.concatenate([array.ravel() for array in cae.model.get_weights()])

    np.testing.assert_array_equal(weights(1), weights(1))
    assert np.abs(weights(1) - weights(2)).max() > 1e-3


def test_steps_draw_different_views(images):
    seen = []

    class Spy(Views):
        def __call__(self, images, generator):
            seen.append(generator.initial_seed())
            return super().__call__(images, generator)

    cae = new("denoising")
    cae.model.objective.views = Spy(noise=0.1)
    cae.model.fit(images, epochs=2, batch_size=16, verbose=0)
    assert len(set(seen)) == len(seen) == 6


def test_images_that_depend_on_each_other_are_learned_together(images, monkeypatch):
    monkeypatch.setattr("caescope.model.learner.images_at_a_time", lambda *_: 4)
    sizes = {}
    for objective in ("reconstruction", "invariant"):
        cae, sizes[objective] = new(objective), []
        forward = cae.model.objective.forward

        def spy(x, *rest, forward=forward, sizes=sizes[objective]):
            sizes.append(len(x))
            return forward(x, *rest)

        monkeypatch.setattr(cae.model.objective, "forward", spy)
        cae.model.fit(images, batch_size=16, verbose=0)
    assert sizes == {"reconstruction": [4] * 12, "invariant": [16] * 3}


def test_invariant_brings_views_together_and_plain_reconstruction_does_not(rng):
    spots = np.zeros((512, 12, 12, 1), np.float32)
    for spot, (y, x, size) in zip(spots, rng.integers((2, 2, 1), (7, 7, 5), (512, 3)), strict=True):
        spot[y : y + size, x : x + size] = 1
    moved = np.roll(spots, 1, axis=2)
    apart = {}
    for objective in ("reconstruction", "invariant"):
        views = Views(shift=0.15) if objective == "invariant" else None
        weight = 6 if objective == "invariant" else None
        given = {"objective": objective, "objective_weight": weight, "views": views}
        cae = CAE((12, 12, 1), 3, [8], seed=0, precision="float32", **given)
        cae.model.fit(spots, epochs=30, batch_size=64, verbose=0)
        here, there = cae.encoder.predict(spots), cae.encoder.predict(moved)
        apart[objective] = np.mean((here - there) ** 2) / np.mean((here - here[::-1]) ** 2)
    assert apart["invariant"] < 0.5 * apart["reconstruction"]


def test_a_training_that_is_gone_on_with_draws_the_same(images, tmp_path):
    whole = new("invariant")
    whole.model.fit(images, epochs=3, batch_size=16, verbose=0, checkpoint=tmp_path / "whole")

    class Stop:
        def on_train_batch_end(self, batch, logs=None):
            self.seen = getattr(self, "seen", 0) + 1
            if self.seen == 5:
                raise KeyboardInterrupt

    from caescope.callbacks import Checkpoint

    first = new("invariant")
    with pytest.raises(KeyboardInterrupt):
        first.model.fit(
            images,
            epochs=3,
            batch_size=16,
            verbose=0,
            callbacks=[Stop()],
            checkpoint=Checkpoint(tmp_path / "parts", seconds=0),
        )
    again = new("invariant")
    history = again.model.fit(images, epochs=3, batch_size=16, verbose=0, checkpoint=tmp_path / "parts")
    for one, other in zip(whole.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert history.history["agreement_loss"] == whole.model.history.history["agreement_loss"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "best"}, "reconstruction, denoising, invariant, variational"),
        ({"objective": None}, "objective must be one of"),
        ({"objective": ["invariant"]}, "objective must be one of"),
        ({"objective_weight": 1}, "objective_weight is for the objectives invariant and variational"),
        ({"objective": "invariant", "objective_weight": -1}, "at least 0"),
        ({"objective": "invariant", "objective_weight": "much"}, "at least 0"),
        ({"objective": "invariant", "objective_weight": float("nan")}, "at least 0"),
        ({"objective": "invariant", "objective_weight": True}, "at least 0"),
        ({"objective": "invariant", "objective_weight": 10**400}, "at least 0"),
        ({"objective": "invariant", "objective_weight": 10**5000}, "at least 0"),
        ({"views": "digits"}, "views are for the objectives denoising and invariant"),
        ({"objective": "variational", "views": "digits"}, "views are for the objectives"),
        ({"objective": "invariant", "views": "faces"}, "views must be one of digits, natural, histology"),
        ({"objective": "invariant", "views": {"stain": 0.1}}, "3 channels"),
        ({"objective": "variational", "latent_features": None}, "needs a number of latents"),
        ({"objective": "variational", "latent_activation": "relu"}, "needs a number of latents"),
    ],
)
def test_objectives_that_cannot_be_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        parse_options((8, 8, 1), options.pop("latent_features", 4), [4], **options)


@pytest.mark.parametrize(("channels", "name"), [(1, "digits"), (3, "natural")])
def test_views_follow_the_channels_where_none_are_named(channels, name):
    assert parse_options((8, 8, channels), 4, [4], objective="invariant").as_dict()["views"] == name


def test_collapsed_latents_are_found_by_their_deviation(rng):
    latents = torch.from_numpy(rng.normal(size=(200, 5))) * torch.tensor([1.0, 0.05, 0.005, 2.0, 0.0])
    assert find_collapsed(latents) == [2, 4]
    assert find_collapsed(latents, least=0.1) == [1, 2, 4]
    assert find_collapsed(torch.full((20, 3), 0.3)) == [0, 1, 2]
    assert find_collapsed(latents.reshape(50, 2, 2, 5)) == [2, 4]


def test_collapse_is_said_once_and_again_when_it_has_doubled(rng):
    watch = CollapseWatch()
    table = torch.from_numpy(rng.normal(size=(64, 3)))
    table[:, 1] = 7
    watch.see(table)
    with pytest.warns(UserWarning, match=r"1 of 3 latents .* after epoch 3.*\(z001\)"):
        watch.say(2)
    watch.say(3)
    table[:, 2] = 0
    with pytest.warns(UserWarning, match=r"2 of 3 latents .* after epoch 5"):
        watch.say(4)


def test_the_watch_looks_at_the_latest_images_alone(rng):
    watch = CollapseWatch()
    watch.see(torch.zeros(1000, 3))
    watch.see(torch.from_numpy(rng.normal(size=(512, 3))))
    watch.say(0)  # would warn of the zeros


@pytest.mark.filterwarnings("default:.*latents hardly differ")
def test_training_says_that_latents_collapsed(rng):
    images = rng.random((64, 8, 8, 1), dtype=np.float32)
    with pytest.warns(UserWarning, match=r"of 4 latents hardly differ between images after epoch \d"):
        new("variational", objective_weight=1e6).model.fit(images, epochs=30, batch_size=16, verbose=0)


def test_a_mean_image_is_a_reconstruction_of_share_one(images):
    cae = new("invariant", objective_weight=0)
    x = torch.from_numpy(images)
    share = outcome(cae, images).loss.item()
    floor = F.mse_loss(x.mean(0, keepdim=True).expand_as(x), x).item()
    assert share * floor == pytest.approx(cae.model.evaluate(images), rel=1e-4)

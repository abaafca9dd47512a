"""Weights laid end to end, of which some learn at smaller rates."""

import numpy as np
import pytest
import torch
from torch import nn

from caescope import CAE, data
from caescope.data.fitting import Fit
from caescope.model import flat, training
from caescope.model.flat import lay_end_to_end
from caescope.model.optimizers import OPTIMIZERS, make_optimizer


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 6), nn.Linear(6, 2), nn.Linear(2, 5))


def test_weights_and_gradients_are_views_of_one_tensor(monkeypatch):
    monkeypatch.setattr(flat, "WIDE", 4)
    module = layers()
    before = [weight.detach().clone() for weight in module.parameters()]
    laid = lay_end_to_end(module.parameters())
    assert laid.rates == (1.0, 4 / 6, 1.0)
    assert [len(piece) for piece in laid.pieces] == [3 * 6 + 6, 6 * 2, 2 + 2 * 5 + 5]
    assert torch.equal(laid.whole, torch.cat([weight.flatten() for weight in before]))
    module(torch.ones(1, 3)).sum().backward()
    gradients = torch.cat([weight.grad.flatten() for weight in module.parameters()])
    assert torch.equal(torch.cat([piece.grad for piece in laid.pieces]), gradients)
    laid.whole.zero_()
    assert not any(weight.any() for weight in module.parameters())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weights_laid_end_to_end_take_the_same_steps(optimizer):
    def trained(end_to_end):
        torch.manual_seed(0)
        layers = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Linear(4, 3))
        kind, peak, arguments = OPTIMIZERS[optimizer]
        steps = kind(layers.parameters(), lr=peak, **arguments)
        if end_to_end:
            options = {name: value for name, value in steps.param_groups[0].items() if name != "params"}
            steps, _ = make_optimizer(optimizer, lay_end_to_end(layers.parameters()), peak, 10)
            steps.param_groups[0].update(options)
        for _ in range(4):
            steps.zero_grad(set_to_none=False)
            layers(torch.ones(2, 5)).square().sum().backward()
            steps.step()
        return [weight.detach() for weight in layers.parameters()]

    for one, other in zip(trained(True), trained(False), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_wide_layer_takes_smaller_steps(monkeypatch, optimizer):
    def step(wide):
        monkeypatch.setattr(flat, "WIDE", wide)
        module = layers()
        laid = lay_end_to_end(module.parameters())
        before = laid.whole.clone()
        steps, schedule = make_optimizer(optimizer, laid, 0.1, 10)
        module(torch.ones(1, 3)).square().sum().backward()
        steps.step()
        assert schedule.get_last_lr()[0] == pytest.approx(0.1 / 25)
        return [part.numpy() for part in laid.whole.sub(before).split([24, 12, 17])]

    narrow, wide = step(6), step(4)
    # AdamW takes its decay off too, and both go with the rate
    np.testing.assert_allclose(wide[1], narrow[1] * 4 / 6, rtol=1e-3, atol=1e-6)
    for place in (0, 2):
        np.testing.assert_array_equal(wide[place], narrow[place])


@pytest.mark.parametrize(
    ("objective", "slowest"), [("reconstruction", 4 / 32), ("variational", 4 / 32), ("invariant", 1)]
)
def test_an_objective_that_keeps_latents_apart_learns_at_one_rate(monkeypatch, objective, slowest):
    monkeypatch.setattr(flat, "WIDE", 4)
    laid = []
    monkeypatch.setattr(
        training, "lay_end_to_end", lambda *a, **k: laid.append(lay_end_to_end(*a, **k)) or laid[0]
    )
    cae = CAE((8, 8, 1), 2, [2], objective=objective, seed=0, device="cpu")
    cae.model.fit(np.random.default_rng(0).random((20, 8, 8, 1), np.float32), epochs=1, verbose=0)
    assert min(laid[0].rates) == slowest


def test_tiles_that_differ_little_are_not_all_rebuilt_as_their_mean(shared_data):
    images = data.open_source(shared_data / "lc25000", fit=Fit(resize=64)).images
    floor = (images / np.float32(255)).var(0).mean()  # of a decoder that pays no heed to latents
    cae = CAE(images.shape[1:], 64, [16, 32, 64], seed=0, architecture="residual", device="cpu")
    cae.model.fit(images, batch_size=64, epochs=6, verbose=0)
    assert cae.model.evaluate(images) < 0.85 * floor

"""Optimizers by their Keras names, and the schedule of the learning rate."""

from collections.abc import Iterable

import torch
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from caescope.errors import OptionError

# name: (class, peak learning rate of the one-cycle schedule, further arguments)
OPTIMIZERS = {
    "adamax": (torch.optim.Adamax, 2e-2, {"betas": (0.9, 0.99)}),
    "adam": (torch.optim.Adam, 1e-2, {}),
    "adamw": (torch.optim.AdamW, 1e-2, {}),
    "nadam": (torch.optim.NAdam, 5e-3, {}),
    "rmsprop": (torch.optim.RMSprop, 2e-3, {}),
    "adagrad": (torch.optim.Adagrad, 2e-2, {}),
    "sgd": (torch.optim.SGD, 1.0, {"momentum": 0.9, "nesterov": True}),
}


def parse_optimizer(name) -> str:
    """Return the optimizer's name in lower case, or raise `OptionError` listing the known ones."""
    lower = str(name).lower()
    if lower in OPTIMIZERS:
        return lower
    must = f"optimizer must be one of {', '.join(OPTIMIZERS)}"
    raise OptionError(must, f"optimizer={name!r}", 'Use "adamax", the default.')


def default_rate(optimizer: str, architecture: str) -> float:
    """Return the peak learning rate of an optimizer: half of it for residual networks.

    >>> default_rate("adamax", "plain"), default_rate("adamax", "residual")
    (0.02, 0.01)
    """
    return OPTIMIZERS[optimizer][1] / (2 if architecture == "residual" else 1)


def make_optimizer(
    name: str, weights: Iterable[torch.nn.Parameter], peak: float, n_steps: int
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """Return the optimizer of all weights and its one-cycle schedule over ``n_steps`` steps.

    Weights and gradients become views of one tensor each; set gradients to zero then, never to None.

    The learning rate rises linearly from 1/25 of its peak for three tenths of the steps and then falls
    linearly towards zero.

    Source: Smith and Topin (2019), Super-convergence, https://arxiv.org/abs/1708.07120.
    """
    kind, _, arguments = OPTIMIZERS[name]
    optimizer = kind([_lay_end_to_end(weights)], lr=peak, **arguments)
    # OneCycleLR divides by the length of either phase, so very short trainings get a longer cycle
    schedule = OneCycleLR(
        optimizer,
        peak,
        total_steps=max(n_steps, 10),
        anneal_strategy="linear",
        cycle_momentum=name not in ("rmsprop", "adagrad"),
    )
    return optimizer, schedule


def _lay_end_to_end(weights: Iterable[torch.nn.Parameter]) -> torch.nn.Parameter:
    """Make all weights views of one tensor, and return it.

    Small networks spend as long on an optimizer's dozen operations for each tensor as on its arithmetic.
    """
    weights = list(weights)
    whole = torch.nn.Parameter(torch.cat([weight.detach().flatten() for weight in weights]))
    whole.grad = torch.zeros_like(whole)
    start = 0
    for weight in weights:
        part = slice(start, start + weight.numel())
        weight.data = whole.data[part].view_as(weight)
        weight.grad = whole.grad[part].view_as(weight)
        start = part.stop
    return whole

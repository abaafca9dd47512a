"""Optimizers by their Keras names, and the schedule of the learning rate."""

import torch
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from caescope.errors import OptionError
from caescope.model.flat import FlatWeights

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
    name: str, weights: FlatWeights, peak: float, n_steps: int
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """Return the optimizer of all weights and its one-cycle schedule over ``n_steps`` steps.

    The learning rate rises linearly from 1/25 of its peak for three tenths of the steps and then falls
    linearly towards zero.

    Source: Smith and Topin (2019), Super-convergence, https://arxiv.org/abs/1708.07120.
    """
    kind, _, arguments = OPTIMIZERS[name]
    optimizer = kind([{"params": [piece]} for piece in weights.pieces], lr=peak, **arguments)
    # OneCycleLR divides by the length of either phase, so very short trainings get a longer cycle
    schedule = OneCycleLR(
        optimizer,
        [peak * rate for rate in weights.rates],
        total_steps=max(n_steps, 10),
        anneal_strategy="linear",
        cycle_momentum=name not in ("rmsprop", "adagrad"),
    )
    return optimizer, schedule

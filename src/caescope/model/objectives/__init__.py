"""What training minimises: how well images come back, and what else is asked of their latents."""

import torch

from caescope.model.architecture import Autoencoder
from caescope.model.objectives.base import Objective, Outcome
from caescope.model.objectives.denoising import Denoising
from caescope.model.objectives.invariant import Invariant
from caescope.model.objectives.reconstruction import Reconstruction
from caescope.model.objectives.variational import Variational
from caescope.model.options import Options

__all__ = ["KINDS", "Objective", "Outcome", "new_objective"]

KINDS = {
    "reconstruction": Reconstruction,
    "denoising": Denoising,
    "invariant": Invariant,
    "variational": Variational,
}


def new_objective(network: Autoencoder, options: Options, numbers: torch.dtype) -> Objective:
    """Return the objective that the options name, for a network that computes in ``numbers``."""
    return KINDS[options.objective](network, options, numbers)

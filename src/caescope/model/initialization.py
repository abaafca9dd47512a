"""The weights before training, drawn from a seed and from nothing else."""

import torch
from torch import nn

from caescope.model.architecture import Autoencoder
from caescope.model.layers import Normalization
from caescope.model.options import Options
from caescope.model.residual import Residual


def new_autoencoder(options: Options, seed: int) -> Autoencoder:
    """Return an autoencoder with Glorot-uniform weights and zero biases, as Keras starts its layers.

    A residual network's normalisations start with scale 1 and offset 0, and its branches add nothing yet.
    The global random state of PyTorch stays as it is.

    Source: Glorot and Bengio (2010), Understanding the difficulty of training deep feedforward networks;
    Goyal et al. (2017), https://arxiv.org/abs/1706.02677 (branches that add nothing).
    """
    with torch.device("meta"):
        module = Autoencoder(options)
    module.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
        elif isinstance(layer, Normalization):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
    for block in module.modules():
        if isinstance(block, Residual):
            nn.init.zeros_(block.widen.weight)
    return module

"""What a picture goes through between the convolutions that resize it, where architectures differ.

An encoder's stage makes the picture smaller first and a decoder's makes it larger last, so all of this is
computed where the picture is small.
"""

import torch
from torch import nn
from torch.nn import functional as F

from caescope.model.layers import Normalization, SameConv2d
from caescope.model.options import Options, Pair, inner_filters


class Residual(nn.Module):
    """A picture (n, f, h, w) and what two convolutions add to it, normalised and through SiLU.

    Between the two there are only half of the channels, which halves the cost.

    Source: He et al. (2016), Identity mappings in deep residual networks, https://arxiv.org/abs/1603.05027.
    """

    def __init__(self, channels: int, kernel: Pair):
        super().__init__()
        between = inner_filters(channels)
        # In the order of the data, which is the order of the weights in a file
        self.first = Normalization(channels)
        self.narrow = SameConv2d(channels, between, kernel)
        self.widen = SameConv2d(between, channels, kernel)
        self.last = Normalization(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch = self.narrow(F.silu(self.first(x)))  # (n, f/2, h, w)
        branch = self.widen(F.silu(branch))  # (n, f, h, w)
        return F.silu(self.last(x + branch))


def refinement_of(options: Options, channels: int) -> nn.Module:
    """Return what a picture (n, channels, h, w) goes through between two changes of its size."""
    return Residual(channels, options.kernel) if options.architecture == "residual" else nn.ReLU()

"""All weights of a model as one tensor, in pieces of which each learns at a rate of its own."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import nn

WIDE = 784  # inputs of a dense layer: those of the tutorial's network, for which the optimizers' rates are


@dataclass(frozen=True)
class FlatWeights:
    """Weights that are views of one tensor, and so are their gradients.

    Attributes
    ----------
    whole : torch.Tensor, shape (n_weights,), float32
    pieces : tuple of torch.nn.Parameter
        Of ``whole``, one after the other, for an optimizer.
    rates : tuple of float
        At which each piece learns, in parts of the learning rate.
    """

    whole: torch.Tensor
    pieces: tuple[nn.Parameter, ...]
    rates: tuple[float, ...]

    def split(self, values: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return what belongs to each piece of values (n_weights,)."""
        return values.split([len(piece) for piece in self.pieces])


def lay_end_to_end(weights: Iterable[nn.Parameter], at_one_rate: bool = False) -> FlatWeights:
    """Make all weights views of one tensor; set gradients to zero from then on, never to None.

    Small networks spend as long on an optimizer's dozen operations for each tensor as on its arithmetic.
    """
    weights = list(weights)
    whole = torch.cat([weight.detach().flatten() for weight in weights])
    gradients = torch.zeros_like(whole)
    pieces, rates, start = [], [], 0
    for rate, neighbours in groupby(weights, (lambda _: 1.0) if at_one_rate else rate_of):
        first = start
        for weight in neighbours:
            part = slice(start, start + weight.numel())
            weight.data, weight.grad = whole[part].view_as(weight), gradients[part].view_as(weight)
            start = part.stop
        piece = nn.Parameter(whole[first:start])
        piece.grad = gradients[first:start]
        pieces.append(piece)
        rates.append(rate)
    return FlatWeights(whole, tuple(pieces), tuple(rates))


def rate_of(weight: torch.Tensor) -> float:
    """Return at which part of the learning rate a weight learns: less in a dense layer of very many inputs.

    Optimizers such as Adam move each weight as far, however many there are, and what a dense layer puts out
    moves by the sum. With images of 64 × 64 pixels one step would change latents by many times their
    deviation, and the decoder would learn to pay no heed to them.

    Source: Yang et al. (2021), Tensor programs V, https://arxiv.org/abs/2203.03466 (rates of Adam go with one
    over the number of inputs).

    >>> rate_of(torch.empty(64, 3136)), rate_of(torch.empty(20, 784)), rate_of(torch.empty(8, 1, 3, 3))
    (0.25, 1.0, 1.0)
    """
    return min(1.0, WIDE / weight.shape[1]) if weight.ndim == 2 else 1.0

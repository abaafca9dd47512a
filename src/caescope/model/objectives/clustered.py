"""Images come back, views agree, and latents gather around centres that were found before."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from caescope.model.objectives.base import Outcome
from caescope.model.objectives.invariant import Invariant
from caescope.model.share import Share

CLUSTERS = 0.3  # what the divergence counts for, beside 1 for the reconstruction's share


class Clustered(Invariant):
    """Deep embedded clustering with reconstruction (IDEC), where a view must belong where its image does.

    An image belongs to centres by Student's t-distribution of its distance. What it should belong to is that
    sharpened, and weighed against large clusters, over the batch. Centres move as the network learns.

    Parameters
    ----------
    centers : numpy.ndarray, shape (k, latent_features), float32
        Where the clusters are at first.

    Source: Xie, Girshick and Farhadi (2016), DEC; Guo et al. (2017), IDEC; Guo et al. (2018), DEC-DA.
    """

    def __init__(self, network, options, numbers, centers: np.ndarray):
        super().__init__(network, options, numbers)
        self.centers = nn.Parameter(torch.tensor(centers))

    def forward(self, images, targets, generator, progress) -> Outcome:
        # Agreement counts for what it counts when training ends
        plain, of_view = self.compare(images, targets, generator, progress=1)
        belongings = [log_belonging(z, self.centers) for z in (plain.latents, of_view)]  # (n, k) each
        share = self.part_of(images)
        goal = sharpened(belongings[0].detach().exp(), share)
        first, second = (F.kl_div(q, goal, reduction="batchmean") for q in belongings)
        divergence = share.mean((first + second) / 2)
        parts = plain.parts | {"cluster_loss": divergence}
        return Outcome(plain.loss + CLUSTERS * divergence, plain.latents, parts)


def log_belonging(latents: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of how far each image belongs to each centre, (n, k); rows sum to 1 before it."""
    distances = (latents.flatten(1).float()[:, None] - centers).square().sum(2)  # (n, k)
    return torch.log_softmax(-torch.log1p(distances), 1)


def sharpened(belonging: torch.Tensor, share: Share) -> torch.Tensor:
    """Return what images should belong to, (n, k): their squares, over each centre's sum, to sum 1 again."""
    weighed = belonging.square() / share.mean(belonging.mean(0))  # a mean for the sum: rows are scaled anyway
    return weighed / weighed.sum(1, keepdim=True)

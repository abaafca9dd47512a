"""Images come back, and a distorted view of an image gets the latents of the image."""

import torch
from torch.nn import functional as F

from caescope.model.objectives.base import FEWEST, Objective, Outcome
from caescope.model.share import Share

COVARIANCE = 0.2  # what the covariances count for, beside 1 for the agreement and 1 for the variances
TINY = 1e-4
AT_THE_END = 0.05  # of the weight that there was at first


class Invariant(Objective):
    """Reconstruction of the image as it is, and agreement of its latents with those of a view of it (VICReg).

    The image itself is one of the two views that are compared: its latents are those that will be used.

    Source: Bardes, Ponce and LeCun (2022), VICReg, https://arxiv.org/abs/2105.04906.
    """

    couples_images = keeps_latents_apart = True

    def forward(self, images, targets, generator, progress) -> Outcome:
        return self.compare(images, targets, generator, progress)[0]

    def compare(self, images, targets, generator, progress) -> tuple[Outcome, torch.Tensor]:
        """Return what becomes of images, and the latents of the view that they were compared with."""
        latents = self.encode(images)  # (n, latent_features)
        of_view = self.encode(self.views(images, generator))  # the same
        reconstruction, share = self.reconstruct(latents, targets)
        agreement, regularity = compare_views(latents, of_view, self.part_of(images))
        loss = share + self.weight_at(progress) * (agreement + regularity)
        parts = {"reconstruction_loss": reconstruction, "agreement_loss": agreement}
        return Outcome(loss, latents, parts), of_view

    def weight_at(self, progress: float) -> float:
        """Return what agreement counts for: less and less, so that training ends with the reconstruction."""
        return self.weight * (1 - (1 - AT_THE_END) * progress)


def compare_views(
    first: torch.Tensor, second: torch.Tensor, share: Share
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how far latents of two views, each (n, ...), lie apart, and what keeps them from collapsing.

    Agreement alone would be had by giving all images the same latents. So each latent's deviation over the
    batch is kept above 1, and latents are kept from telling the same.
    """
    first, second = (latents.flatten(1).float() for latents in (first, second))
    agreement = share.mean(F.mse_loss(first, second))
    if share.n_all < FEWEST:
        return agreement, first.new_zeros(())
    both = [covariance_of(z, share) for z in (first, second)]
    regularity = sum(_narrowness(c) + COVARIANCE * _entanglement(c) for c in both) / 2
    return agreement, regularity  # pyright: ignore[reportReturnType]


def covariance_of(latents: torch.Tensor, share: Share) -> torch.Tensor:
    """Return how latents (n, d) vary together over the whole batch, shape (d, d)."""
    centred = latents - share.mean(latents.mean(0))
    return share.mean(centred.T @ centred / len(latents)) * (share.n_all / (share.n_all - 1))


def _narrowness(covariance: torch.Tensor) -> torch.Tensor:
    """Return by how much deviations stay below 1, their mean over the latents."""
    return F.relu(1 - (covariance.diagonal() + TINY).sqrt()).mean()


def _entanglement(covariance: torch.Tensor) -> torch.Tensor:
    """Return the squared covariances of different latents, summed and divided by their number."""
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / covariance.shape[1]

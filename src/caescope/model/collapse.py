"""Latents that have stopped to differ between images, noticed while training goes on."""

import warnings
from collections import deque

import torch

from caescope.model.objectives.base import FEWEST

WATCHED = 512  # images; the latest, since latents change while the network learns
ROUNDING = 1e-5  # of a latent's size; what differs by less is the same in float32


class CollapseWatch:
    """Keeps the latents of the images that were learned last, and says so when some have collapsed.

    Attributes
    ----------
    said : int
        How many latents it was said of; it is said again when they are twice as many.
    """

    def __init__(self):
        self._latest: deque[torch.Tensor] = deque()
        self.said = 0

    def see(self, latents: torch.Tensor) -> None:
        """Take the latents (n, ...) of images that were just learned."""
        self._latest.append(latents)
        while len(self._latest) > 1 and sum(map(len, self._latest)) - len(self._latest[0]) >= WATCHED:
            self._latest.popleft()

    def say(self, epoch: int, least: float | None = None) -> None:
        """Warn of latents that have collapsed, the first time and when they have become many more.

        Parameters
        ----------
        epoch : int
            The epoch that has ended, from 0.
        least : float, optional
            Deviations under this have collapsed; by default those under a hundredth of the largest.
        """
        if sum(map(len, self._latest)) < FEWEST:
            return
        found = find_collapsed(torch.cat(list(self._latest)), least)
        if found and len(found) >= 2 * self.said:
            self.said = len(found)
            n_latents = self._latest[0].shape[-1]
            warnings.warn(_sentence(found, n_latents, epoch), UserWarning, stacklevel=2)


def find_collapsed(latents: torch.Tensor, least: float | None = None) -> list[int]:
    """Return which latents hardly differ between images.

    Parameters
    ----------
    latents : torch.Tensor, shape (n, latent_features) or (n, height, width, filters)
        Of convolutional latents a filter counts as one, over all places.
    least : float, optional
        As in `CollapseWatch.say`.

    Examples
    --------
    >>> find_collapsed(torch.tensor([[0.0, 5.0, 3.0], [1.0, 5.0, 3.001], [2.0, 5.0, 3.0]]))
    [1, 2]
    """
    table = latents.detach().flatten(0, -2).double()
    deviations = table.std(0)
    largest = deviations.max()
    bound = largest / 100 if least is None else torch.full_like(largest, least)
    is_constant = deviations <= ROUNDING * table.abs().amax(0)
    return torch.nonzero((deviations < bound) | is_constant).flatten().tolist()


def _sentence(found: list[int], n_latents: int, epoch: int) -> str:
    names = ", ".join(f"z{latent:03d}" for latent in found[:10]) + (", …" if len(found) > 10 else "")
    return (
        f"{len(found)} of {n_latents} latents hardly differ between images after epoch {epoch + 1}, as if "
        f"they were not there ({names}): use fewer latent features, a smaller learning rate or objective "
        "weight, or train longer"
    )

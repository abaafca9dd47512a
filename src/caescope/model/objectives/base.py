"""What every objective is: a network, and a loss of a batch of images."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import nn

from caescope.model.architecture import Autoencoder
from caescope.model.losses import LOSSES
from caescope.model.options import Options
from caescope.model.share import Share, whole
from caescope.views import Views

SMALLEST_FLOOR = 1e-4  # or images that are all alike would count without limit
FEWEST = 16  # images, such as an epoch's last; fewer say nothing about how images differ
USUAL_FLOOR = 0.05  # what the mean image is off by in collections of all kinds, for batches that cannot tell


@dataclass(frozen=True)
class Outcome:
    """What an objective makes of a batch.

    Attributes
    ----------
    loss : torch.Tensor, shape ()
        What is to become small.
    latents : torch.Tensor, shape (n, ...), float32
        Those of the images as they came in, which training watches for a collapse.
    parts : dict of str to torch.Tensor, shape ()
        What the loss was made of, by name; empty where it has only one part.
    """

    loss: torch.Tensor
    latents: torch.Tensor
    parts: dict[str, torch.Tensor] = field(default_factory=dict)

    def detached(self) -> "Outcome":
        """Return the same without the way back to the weights."""
        parts = {name: part.detach() for name, part in self.parts.items()}
        return Outcome(self.loss.detach(), self.latents.detach(), parts)


class Objective(nn.Module, ABC):
    """A loss, and the weights that it trains: the network's, and perhaps some that only training needs.

    An objective depends on what it is given alone, so that an interrupted training can go on.

    Attributes
    ----------
    couples_images : bool
        Whether an image's loss depends on the others of its batch, which then cannot be learned in parts.
    draws : bool
        Whether it needs random numbers.
    least_deviation : float or None
        Latents that deviate less between images have collapsed; None for a hundredth of the largest.
    keeps_latents_apart : bool
        Whether its loss asks latents to differ between images, so that no rate makes the decoder ignore them.
    share : Share or None
        Which images of the batch these are, where other processes have the rest; None for all.
    """

    couples_images = False
    draws = True
    least_deviation: float | None = None
    keeps_latents_apart = False
    share: Share | None = None

    def __init__(self, network: Autoencoder, options: Options, numbers: torch.dtype):
        super().__init__()
        self.network, self.numbers = network, numbers
        self.loss_of = LOSSES[options.lossfn]
        self.views, self.weight = options.views or Views(), options.objective_weight or 0.0

    @abstractmethod
    def forward(
        self, images: torch.Tensor, targets: torch.Tensor, generator: torch.Generator, progress: float
    ) -> Outcome:
        """Return the loss of images (n, height, width, channels), float32 in [0, 1], and its parts.

        Parameters
        ----------
        images, targets : torch.Tensor, shape (n, height, width, channels), float32
            What the network sees, and what it should become.
        generator : torch.Generator
            A processor's, for random numbers.
        progress : float, in [0, 1)
            The share of the training's steps that are done.
        """

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Return latents (n, ...), computed in the numbers of training."""
        return self.network.encoder(images.to(self.numbers))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return images (n, height, width, channels), float32."""
        return self.network.decoder(latents.to(self.numbers))

    def part_of(self, images: torch.Tensor) -> Share:
        """Return which images of the batch these are."""
        return self.share or whole(len(images))

    def reconstruct(self, latents: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of what latents become, and its share of that of the batch's mean image.

        The share means the same whatever the contrast of the images, so that it can be added to other terms.
        """
        share = self.part_of(targets)
        loss = share.mean(self.loss_of(self.decode(latents), targets))
        mean_image = share.mean(targets.mean(0, keepdim=True)).expand_as(targets)
        if share.n_all >= FEWEST:
            floor = share.mean(self.loss_of(mean_image, targets))
        else:
            floor = loss.new_tensor(USUAL_FLOOR)
        return loss, loss / floor.clamp(min=SMALLEST_FLOOR)

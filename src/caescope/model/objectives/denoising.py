"""Images come back clean from what noise has left of them."""

from caescope.model.objectives.base import Objective, Outcome


class Denoising(Objective):
    """The loss between what the network makes of distorted images and the images themselves.

    Source: Vincent et al. (2008), Extracting and composing robust features with denoising autoencoders.
    """

    def forward(self, images, targets, generator, progress) -> Outcome:
        latents = self.encode(self.views(images, generator))  # (n, latent_features)
        return Outcome(self.loss_of(self.decode(latents), targets), latents)

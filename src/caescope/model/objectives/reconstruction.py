"""Images come back as they are."""

from caescope.model.objectives.base import Objective, Outcome


class Reconstruction(Objective):
    """The loss between what the network makes of images and their targets."""

    draws = False

    def forward(self, images, targets, generator, progress) -> Outcome:
        latents = self.encode(images)  # (n, latent_features)
        return Outcome(self.loss_of(self.decode(latents), targets), latents)

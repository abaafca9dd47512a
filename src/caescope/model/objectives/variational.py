"""Latents become distributions, kept near the standard normal one."""

from torch import nn

from caescope.model.layers import Dense
from caescope.model.objectives.base import Objective, Outcome
from caescope.views.drawing import standard

NARROWEST, WIDEST = -15.0, 5.0  # logarithms of variances, outside of which gradients overflow
AT_FIRST = -4.0  # so that the network learns before noise drowns what it has to say


class Variational(Objective):
    """The beta-VAE: images come back from latents drawn around a mean, at a price for every nat they tell.

    The encoder's latents are the means; the variances come from a second head on its features that only
    training needs. Pixels count as Gaussian with a variance of the mean squared error that there is, which
    fixes the price of a nat whatever the contrast of the images; ``objective_weight`` is beta.

    Source: Kingma and Welling (2014), https://arxiv.org/abs/1312.6114; Higgins et al. (2017), beta-VAE;
    Rybkin et al. (2021), https://arxiv.org/abs/2006.13202 (the variance).
    """

    least_deviation = 0.1  # Burda, Grosse and Salakhutdinov (2016) call such a unit inactive

    def __init__(self, network, options, numbers):
        super().__init__(network, options, numbers)
        dense = network.encoder.dense
        assert dense is not None  # options demand it
        self.log_variance = Dense(dense.in_features, dense.out_features)
        nn.init.zeros_(self.log_variance.weight)
        nn.init.constant_(self.log_variance.bias, AT_FIRST)

    def forward(self, images, targets, generator, progress) -> Outcome:
        encoder = self.network.encoder
        features = encoder.features(images.to(self.numbers))
        mean = encoder.latents(features).float()  # (n, latent_features)
        log_variance = self.log_variance(features).float().clamp(NARROWEST, WIDEST)
        noise = standard(len(mean), tuple(mean.shape[1:]), generator).to(mean.device)
        reconstruction = self.loss_of(self.decode(mean + noise * (log_variance / 2).exp()), targets)
        divergence = (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean() / 2  # nats
        rebuilt = self.part_of(images).mean(reconstruction.detach())
        price = self.weight * 2 * rebuilt / images[0].numel()
        parts = {"reconstruction_loss": reconstruction, "divergence_loss": divergence}
        return Outcome(reconstruction + price * divergence, mean, parts)

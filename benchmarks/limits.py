"""The work of training on one image, from the layers' shapes: what the hardware's limits are divided by."""

from dataclasses import dataclass
from itertools import pairwise
from math import prod

from caescope.model.options import Options

TRAINING = (
    3  # a layer's output, and backward the gradients of its input and of its weights: as many products each
)
TRANSFERS = 4  # an activation is written and read once forward, and as much moves twice backward


@dataclass(frozen=True)
class Work:
    """Of one image: multiply-adds of the forward pass, and the elements of all activations."""

    multiply_adds: int
    activations: int

    @property
    def flops(self) -> int:
        """Floating-point operations of one training step: 3 × multiply-adds × 2."""
        return TRAINING * self.multiply_adds * 2

    def traffic(self, bytes_per_element: int) -> int:
        """Bytes that one training step moves: 4 × activations × their size. Weights count as cached."""
        return TRANSFERS * self.activations * bytes_per_element


def work(options: Options) -> Work:
    """Return the work of the network that these options describe.

    A convolution multiplies ``kernel`` × channels in × channels out at each pixel that goes out. The picture
    that nearest up-sampling makes need never be held, so it is no activation; element-wise operations (ReLU,
    sigmoid, loss) are taken as fused into their neighbours, as a compiler would.
    """
    height, width, channels = options.padded_shape
    products, elements = 0, prod(options.padded_shape)
    sizes = [(height, width)]
    for before, after in pairwise((channels, *options.filters)):
        h, w = sizes[-1]
        convolved = -(-h // options.stride[0]) * -(-w // options.stride[1]) * after
        sizes.append((h // options.downsampling[0], w // options.downsampling[1]))
        products += convolved * before * prod(options.kernel)
        elements += convolved + prod(sizes[-1]) * after
    if options.latent_features is not None:
        products += 2 * prod(options.stage_shape) * options.latent_features
        elements += options.latent_features + prod(options.stage_shape)
    for before, after in pairwise((*options.filters[::-1], channels)):
        sizes.pop()
        convolved = prod(sizes[-1]) * after
        products += convolved * before * prod(options.kernel)
        elements += convolved
    return Work(products, elements)

"""The networks, top to bottom. Images come in and go out channels last: (n, height, width, channels).

A permuted view is all that PyTorch's own channels-first order costs: the memory stays as it is. Everything
between is computed in the numbers that come in, float32 or bfloat16; what goes out of the decoder is float32.
"""

from itertools import pairwise
from math import prod

import torch
from torch import nn
from torch.nn import functional as F

from caescope.model.layers import Dense, SameConv2d
from caescope.model.options import Options
from caescope.model.pooling import convolve_and_pool
from caescope.model.precision import to_unit
from caescope.model.residual import refinement_of
from caescope.model.upsampling import UpsampledConv2d

DARKEST = -20.0  # what becomes a pixel of 2e-9


def _edges(options: Options) -> tuple[int, int, int, int]:
    """Pixels (top, bottom, left, right) between an image and its padded form."""
    tall, wide = (options.padded_shape[axis] - options.input_shape[axis] for axis in (0, 1))
    return tall // 2, tall - tall // 2, wide // 2, wide - wide // 2


class Encoder(nn.Module):
    """Images (n, height, width, channels), uint8 or float in [0, 1], to latents (n, latent_features)."""

    def __init__(self, options: Options):
        super().__init__()
        self.options = options
        channels = (options.input_shape[2], *options.filters)
        self.convolutions = nn.ModuleList(
            SameConv2d(c_in, c_out, options.encoder_kernel, options.encoder_stride)
            for c_in, c_out in pairwise(channels)
        )
        self.refinements = nn.ModuleList(refinement_of(options, filters) for filters in options.filters)
        self.dense = None
        if options.latent_features is not None:
            self.dense = Dense(prod(options.stage_shape), options.latent_features)
        top, bottom, left, right = _edges(options)
        self.margins = (left, right, top, bottom)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.latents(self.features(images))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the stages make of images, (n, h' · w' · f), or (n, h', w', f) where latents are so."""
        x = to_unit(images).permute(0, 3, 1, 2)  # (n, c, h, w)
        if any(self.margins):
            x = F.pad(x, self.margins)  # (n, c, H, W), every stage divides H and W
        for convolution, refine in zip(self.convolutions, self.refinements, strict=True):
            x = convolve_and_pool(convolution, x, self.options.encoder_pool)  # pyright: ignore
            # ReLU commutes with the maximum, and everything is cheaper on the smaller picture
            x = refine(x)  # (n, f, H/step, W/step)
        x = x.permute(0, 2, 3, 1)  # (n, h', w', f)
        return x if self.dense is None else x.flatten(1)

    def latents(self, features: torch.Tensor) -> torch.Tensor:
        """Return the latents (n, latent_features) of such features, or without a dense layer the features."""
        if self.dense is None:
            return features
        latents = self.dense(features)  # (n, latent_features)
        return F.relu(latents) if self.options.latent_activation == "relu" else latents


class Decoder(nn.Module):
    """Latents (n, latent_features) to images (n, height, width, channels), float in [0, 1]."""

    def __init__(self, options: Options):
        super().__init__()
        self.options = options
        channels = (*options.filters[::-1], options.input_shape[2])
        self.dense = None
        if options.latent_features is not None:
            self.dense = Dense(options.latent_features, prod(options.stage_shape))
        self.convolutions = nn.ModuleList(
            UpsampledConv2d(c_in, c_out, options.kernel, options.downsampling)
            for c_in, c_out in pairwise(channels)
        )
        self.refinements = nn.ModuleList(refinement_of(options, c_in) for c_in in channels[:-1])
        if self.dense is None:
            self.refinements[0] = nn.Identity()  # these latents come refined from the encoder
        self.top, _, self.left, _ = _edges(options)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        x = latents
        if self.dense is not None:
            x = self.dense(x).unflatten(1, self.options.stage_shape)  # (n, h', w', f)
        x = x.permute(0, 3, 1, 2)  # (n, f, h', w')
        for refine, convolution in zip(self.refinements, self.convolutions, strict=True):
            x = convolution(refine(x))  # (n, f, h'·step, w'·step)
        height, width, _ = self.options.input_shape
        x = x[:, :, self.top : self.top + height, self.left : self.left + width]  # (n, c, h, w)
        # Darker pixels are black in every format, and their gradients are denormal numbers, which are slow
        x = F.threshold(x.float(), DARKEST, DARKEST)
        return torch.sigmoid(x).permute(0, 2, 3, 1)  # (n, h, w, c)


class Autoencoder(nn.Module):
    """Encoder and decoder, one after the other."""

    def __init__(self, options: Options):
        super().__init__()
        self.encoder = Encoder(options)
        self.decoder = Decoder(options)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(images))

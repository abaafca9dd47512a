"""The networks, top to bottom. Images come in and go out channels last: (n, height, width, channels).

A permuted view is all that PyTorch's own channels-first order costs: the memory stays as it is.
"""

from functools import cache
from itertools import pairwise
from math import prod

import torch
from torch import nn
from torch.nn import functional as F

from caescope.model.options import Options, Pair


class SameConv2d(nn.Conv2d):
    """A convolution padded as Keras pads for ``padding="same"``: the odd pixel goes right and below."""

    def __init__(self, channels_in: int, channels_out: int, kernel: Pair, stride: Pair = (1, 1)):
        super().__init__(channels_in, channels_out, kernel, stride)
        (top, bottom), (left, right) = (_same_padding(k, s) for k, s in zip(kernel, stride, strict=True))
        self.margins = (left, right, top, bottom)
        if top == bottom and left == right:
            self.padding, self.margins = (top, left), None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input if self.margins is None else F.pad(input, self.margins))


class UpsampledConv2d(SameConv2d):
    """Nearest up-sampling followed by a convolution, without ever holding the large input.

    Neighbouring pixels of an up-sampled picture are copies, so the taps of the kernel that fall on the same
    pixel of the small picture can be summed beforehand. What is left is one convolution of the small picture
    for each of the ``step × step`` places that an output pixel can have within its cell, and a shuffle. The
    weights stay those of the plain convolution, and so does the result but for rounding.

    Source: Shi et al. (2016), https://arxiv.org/abs/1609.05158 (the shuffle).
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: Pair, step: Pair):
        super().__init__(channels_in, channels_out, kernel)
        self.step = step

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        size = self.step[0]
        if self.step != (size, size):  # the shuffle knows square cells only
            return super().forward(F.interpolate(input, scale_factor=self.step, mode="nearest"))
        if size == 1:
            return super().forward(input)
        (rows, tall), (columns, wide) = (_folding(k, size, self.weight.device) for k in self.kernel_size)
        with torch.autocast(input.device.type, enabled=False):  # sums of weights are worth all their digits
            folded = torch.einsum("oiyx,pty,qux->opqitu", self.weight, rows, columns).flatten(0, 2)
        bias = None if self.bias is None else self.bias.repeat_interleave(size * size)
        symmetric = tall[0] == tall[1] and wide[0] == wide[1]
        x = input if symmetric else F.pad(input, (*wide, *tall))
        y = F.conv2d(x, folded, bias, padding=(tall[0], wide[0]) if symmetric else 0)
        return F.pixel_shuffle(y, size)  # (n, o · size · size, h, w) to (n, o, h · size, w · size)


@cache
def _folding(kernel: int, size: int, device: torch.device) -> tuple[torch.Tensor, Pair]:
    """Return which pixel of the small picture each tap falls on, along one axis, and the padding there.

    The first, of shape (size, taps, kernel), is 1 where the output pixel at that place of its cell sees that
    small pixel through that tap of the kernel, else 0.
    """
    before, _ = _same_padding(kernel, 1)
    falls_on = [[(place + tap - before) // size for tap in range(kernel)] for place in range(size)]
    first, last = falls_on[0][0], falls_on[-1][-1]
    small_pixels = torch.arange(first, last + 1)
    with torch.inference_mode(False):  # or a folding made while predicting could not serve training
        folding = (torch.tensor(falls_on)[:, None, :] == small_pixels[:, None]).to(device, torch.float32)
    return folding, (-first, last)


def _same_padding(kernel: int, stride: int) -> Pair:
    """Pixels before and after, along an axis whose length ``stride`` divides."""
    total = max(kernel - stride, 0)
    return total // 2, total - total // 2


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
            SameConv2d(c_in, c_out, options.kernel, options.stride) for c_in, c_out in pairwise(channels)
        )
        self.dense = None
        if options.latent_features is not None:
            self.dense = nn.Linear(prod(options.stage_shape), options.latent_features)
        top, bottom, left, right = _edges(options)
        self.margins = (left, right, top, bottom)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images / 255 if images.dtype == torch.uint8 else images  # (n, h, w, c)
        x = F.pad(x.permute(0, 3, 1, 2), self.margins)  # (n, c, H, W), every stage divides H and W
        for convolution in self.convolutions:
            # ReLU commutes with the maximum, and is cheaper on the smaller picture
            x = F.relu(F.max_pool2d(convolution(x), self.options.pool))  # (n, f, H/step, W/step)
        x = x.permute(0, 2, 3, 1)  # (n, h', w', f)
        if self.dense is None:
            return x
        latents = self.dense(x.flatten(1))  # (n, latent_features)
        return F.relu(latents) if self.options.latent_activation == "relu" else latents


class Decoder(nn.Module):
    """Latents (n, latent_features) to images (n, height, width, channels), float in [0, 1]."""

    def __init__(self, options: Options):
        super().__init__()
        self.options = options
        channels = (*options.filters[::-1], options.input_shape[2])
        self.dense = None
        if options.latent_features is not None:
            self.dense = nn.Linear(options.latent_features, prod(options.stage_shape))
        self.convolutions = nn.ModuleList(
            UpsampledConv2d(c_in, c_out, options.kernel, options.downsampling)
            for c_in, c_out in pairwise(channels)
        )
        self.top, _, self.left, _ = _edges(options)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        x = latents
        if self.dense is not None:
            x = F.relu(self.dense(x)).unflatten(1, self.options.stage_shape)  # (n, h', w', f)
        x = x.permute(0, 3, 1, 2)  # (n, f, h', w')
        for i, convolution in enumerate(self.convolutions):
            x = convolution(F.relu(x) if i else x)  # (n, f, h'·step, w'·step)
        height, width, _ = self.options.input_shape
        x = x[:, :, self.top : self.top + height, self.left : self.left + width]  # (n, c, h, w)
        return torch.sigmoid(x.float()).permute(0, 2, 3, 1)  # (n, h, w, c)


class Autoencoder(nn.Module):
    """Encoder and decoder, one after the other."""

    def __init__(self, options: Options):
        super().__init__()
        self.encoder = Encoder(options)
        self.decoder = Decoder(options)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(images))

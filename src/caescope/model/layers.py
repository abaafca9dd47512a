"""The layers, computed in the numbers of what they are given, with weights that stay float32."""

import torch
from torch import nn
from torch.nn import functional as F

from caescope.model.options import Pair


class Dense(nn.Linear):
    """A dense layer."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return F.linear(input, self.weight.to(input.dtype), self.bias.to(input.dtype))


class SameConv2d(nn.Conv2d):
    """A convolution padded as Keras pads for ``padding="same"``: the odd pixel goes right and below."""

    bias: nn.Parameter  # pyright: ignore[reportIncompatibleVariableOverride] - there always is one

    def __init__(self, channels_in: int, channels_out: int, kernel: Pair, stride: Pair = (1, 1)):
        super().__init__(channels_in, channels_out, kernel, stride)
        tall, wide = (same_padding(k, s) for k, s in zip(kernel, stride, strict=True))
        self.margins = (tall, wide)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
        return convolve(input, weight, bias, self.margins, self.stride)


class Normalization(nn.GroupNorm):
    """Each image's picture (n, f, h, w) with mean 0 and variance 1, then a scale and an offset per channel.

    Nothing is remembered between images, so training and prediction are the same function, and no image
    changes what becomes of another. It is Keras's ``GroupNormalization(groups=1)``.

    Source: Wu and He (2018), Group normalization, https://arxiv.org/abs/1803.08494.
    """

    EPSILON = 1e-3  # Keras's

    def __init__(self, channels: int):
        super().__init__(1, channels, self.EPSILON)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        scale, offset = self.weight.to(input.dtype), self.bias.to(input.dtype)
        return F.group_norm(input, 1, scale, offset, self.eps)


def convolve(x, weight, bias, margins: tuple[Pair, Pair], stride: tuple[int, ...] = (1, 1)):
    """Convolve with so many zeros around: (before, after) vertically and horizontally."""
    tall, wide = margins
    if tall[0] == tall[1] and wide[0] == wide[1]:
        return F.conv2d(x, weight, bias, stride, (tall[0], wide[0]))
    return F.conv2d(F.pad(x, (*wide, *tall)), weight, bias, stride)


def same_padding(kernel: int, stride: int) -> Pair:
    """Pixels before and after, along an axis whose length ``stride`` divides."""
    total = max(kernel - stride, 0)
    return total // 2, total - total // 2

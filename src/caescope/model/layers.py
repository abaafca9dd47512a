"""The layers, computed in the numbers of what they are given, with weights that stay float32."""

from functools import cache

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
        tall, wide = (_same_padding(k, s) for k, s in zip(kernel, stride, strict=True))
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


class UpsampledConv2d(SameConv2d):
    """Nearest up-sampling followed by a convolution, without ever holding the large input.

    Neighbouring pixels of an up-sampled picture are copies, so the taps of the kernel that fall on the same
    pixel of the small picture can be summed beforehand. What is left is one convolution of the small picture
    for each of the places that an output pixel can have within its cell, and a shuffle. The weights stay
    those of the plain convolution, and so does the result but for rounding.

    Source: Shi et al. (2016), https://arxiv.org/abs/1609.05158 (the shuffle).
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: Pair, step: Pair):
        super().__init__(channels_in, channels_out, kernel)
        self.step = step

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if self.step == (1, 1):
            return super().forward(input)
        folding, taps, margins = _folding(self.kernel_size, self.step, self.weight.device)
        o, i, places = self.out_channels, self.in_channels, self.step[0] * self.step[1]
        # Sums of weights are worth all their digits, so they are cast when they are complete
        folded = (self.weight.reshape(o * i, -1) @ folding).view(o, i, places, -1).permute(2, 0, 1, 3)
        folded = folded.reshape(places * o, i, *taps).to(input.dtype)
        bias = self.bias.expand(places, o).reshape(-1).to(input.dtype)
        return _spread(convolve(input, folded, bias, margins), self.step)


def convolve(x, weight, bias, margins: tuple[Pair, Pair], stride: tuple[int, ...] = (1, 1)):
    """Convolve with so many zeros around: (before, after) vertically and horizontally."""
    tall, wide = margins
    if tall[0] == tall[1] and wide[0] == wide[1]:
        return F.conv2d(x, weight, bias, stride, (tall[0], wide[0]))
    return F.conv2d(F.pad(x, (*wide, *tall)), weight, bias, stride)


def _spread(cells: torch.Tensor, step: Pair) -> torch.Tensor:
    """Lay out cells (n, step · step · f, h, w) as pixels (n, f, h · step, w · step), channels last."""
    n, channels, h, w = cells.shape
    rows = (
        cells.permute(0, 2, 3, 1).reshape(n, h, w, step[0], -1).transpose(2, 3)
    )  # (n, h, step, w, step · f)
    pixels = rows.reshape(n, h * step[0], w * step[1], channels // (step[0] * step[1]))
    return pixels.permute(0, 3, 1, 2)


@cache
def _folding(kernel: Pair, step: Pair, device: torch.device) -> tuple[torch.Tensor, Pair, tuple[Pair, Pair]]:
    """Return which pixel of the small picture each tap falls on, and the taps and margins there.

    The first, of shape (taps of the kernel, places · taps of the small picture), is 1 where the output pixel
    at that place of its cell sees that small pixel through that tap of the kernel, else 0.
    """
    (rows, tall), (columns, wide) = (_axis_folding(k, s) for k, s in zip(kernel, step, strict=True))
    with torch.inference_mode(False):  # or a folding made while predicting could not serve training
        folding = torch.einsum("pty,qux->yxpqtu", rows, columns).reshape(kernel[0] * kernel[1], -1)
        return folding.to(device), (rows.shape[1], columns.shape[1]), (tall, wide)


def _axis_folding(kernel: int, step: int) -> tuple[torch.Tensor, Pair]:
    """Return the folding along one axis, of shape (step, small taps, kernel), and the margins there."""
    before, _ = _same_padding(kernel, 1)
    falls_on = [[(place + tap - before) // step for tap in range(kernel)] for place in range(step)]
    first, last = falls_on[0][0], falls_on[-1][-1]
    with torch.inference_mode(False):
        small_pixels = torch.arange(first, last + 1)
        return (torch.tensor(falls_on)[:, None, :] == small_pixels[:, None]).float(), (-first, last)


def _same_padding(kernel: int, stride: int) -> Pair:
    """Pixels before and after, along an axis whose length ``stride`` divides."""
    total = max(kernel - stride, 0)
    return total // 2, total - total // 2

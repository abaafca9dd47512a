"""Up-sampling and the convolution after it as one convolution of the small picture."""

from functools import cache
from typing import NamedTuple

import torch

from caescope.model.layers import SameConv2d, convolve, same_padding
from caescope.model.options import Pair


class UpsampledConv2d(SameConv2d):
    """Nearest up-sampling followed by a convolution, without ever holding the large input.

    Neighbouring pixels of an up-sampled picture are copies, so the taps of the kernel that fall on the same
    pixel of the small picture can be summed beforehand. What is left is one convolution of the small picture
    for each of the places that an output pixel can have within its cell, and a shuffle. Where the lower
    places see what the upper ones do one pixel further down, as those of a 3 × 3 kernel and a step of 2, both
    share a window of two rows instead of three. The weights stay those of the plain convolution, and so does
    the result but for rounding.

    Source: Shi et al. (2016), https://arxiv.org/abs/1609.05158 (the shuffle).
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: Pair, step: Pair):
        super().__init__(channels_in, channels_out, kernel)
        self.step = step

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if self.step == (1, 1):
            return super().forward(input)
        folding = _folding(self.kernel_size, self.step, self.weight.device)
        o, i, places = self.out_channels, self.in_channels, self.step[0] * self.step[1]
        # Sums of weights are worth all their digits, so they are cast when they are complete
        folded = (self.weight.reshape(o * i, -1) @ folding.sums).view(o, i, places, -1).permute(2, 0, 1, 3)
        folded = folded.reshape(places * o, i, *folding.taps).to(input.dtype)
        bias = self.bias.expand(places, o).reshape(-1).to(input.dtype)
        cells = convolve(input, folded, bias, folding.margins)
        return _Spread.apply(cells, self.step, folding.shift)  # pyright: ignore[reportReturnType]


class _Spread(torch.autograd.Function):
    """Lay out cells (n, step · step · f, h', w) as pixels (n, f, h · step, w · step), channels last.

    The p-th row of pixels of cell y comes from row y + p · shift of the cells: there are
    h' = h + (step - 1) · shift rows. Automatic differentiation would find its way back in several passes.
    """

    @staticmethod
    def forward(ctx, cells: torch.Tensor, step: Pair, shift: int) -> torch.Tensor:
        cells = cells.permute(0, 2, 3, 1).contiguous()
        ctx.shape, ctx.step, ctx.shift = cells.shape, step, shift
        rows = _rows_of(cells, step, shift)  # (n, h, step, w, step · f)
        return rows.flatten(1, 2).unflatten(3, (step[1], -1)).flatten(2, 3).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, *grad_outputs: torch.Tensor):
        (gradient,), step, shift = grad_outputs, ctx.step, ctx.shift
        cells = gradient.new_empty(ctx.shape)
        rows = _rows_of(cells, step, shift)
        rows.copy_(gradient.permute(0, 2, 3, 1).reshape(rows.shape))
        for place, cells_of_place in enumerate(cells.unflatten(3, (step[0], -1)).unbind(3)):
            cells_of_place[:, : place * shift] = 0
            cells_of_place[:, place * shift + rows.shape[1] :] = 0
        return cells.permute(0, 3, 1, 2), None, None


def _rows_of(cells: torch.Tensor, step: Pair, shift: int) -> torch.Tensor:
    """Return a view of contiguous cells (n, h', w, step · step · f) as pixels (n, h, step, w, step · f)."""
    n, tall, w, c = cells.shape
    shape = (n, tall - (step[0] - 1) * shift, step[0], w, c // step[0])
    strides = (tall * w * c, w * c, shift * w * c + c // step[0], c, 1)
    return cells.as_strided(shape, strides, cells.storage_offset())


class Folding(NamedTuple):
    """What becomes of a kernel on an up-sampled picture.

    Attributes
    ----------
    sums : torch.Tensor, shape (taps of the kernel, places · taps of the small picture)
        1 where the output pixel at that place of its cell sees that small pixel through that tap of the
        kernel, else 0.
    taps : pair of int
        Of the small picture.
    margins : pair of pairs of int
        Of the small picture, (before, after) vertically and horizontally.
    shift : int
        How many rows of the small picture lie between what one row of places sees and what the next one does.
    """

    sums: torch.Tensor
    taps: Pair
    margins: tuple[Pair, Pair]
    shift: int


@cache
def _folding(kernel: Pair, step: Pair, device: torch.device) -> Folding:
    # Sideways, laying out shorter pieces costs more than is saved; on a GPU nobody has measured either
    rows, tall, shift = _axis_folding(kernel[0], step[0], may_shift=device.type == "cpu")
    columns, wide, _ = _axis_folding(kernel[1], step[1], may_shift=False)
    with torch.inference_mode(False):  # or a folding made while predicting could not serve training
        sums = torch.einsum("pty,qux->yxpqtu", rows, columns).reshape(kernel[0] * kernel[1], -1)
        return Folding(sums.to(device), (rows.shape[1], columns.shape[1]), (tall, wide), shift)


def _axis_folding(kernel: int, step: int, may_shift: bool) -> tuple[torch.Tensor, Pair, int]:
    """Return the sums along one axis, of shape (step, small taps, kernel), its margins and its shift."""
    before, _ = same_padding(kernel, 1)
    falls_on = [[(place + tap - before) // step for tap in range(kernel)] for place in range(step)]
    first, shift = falls_on[0][0], 0
    taps = falls_on[-1][-1] - first + 1
    if may_shift and all(seen[0] >= first + place for place, seen in enumerate(falls_on)):
        shifted = max(seen[-1] - first - place + 1 for place, seen in enumerate(falls_on))
        taps, shift = (shifted, 1) if shifted < taps else (taps, 0)
    with torch.inference_mode(False):
        starts = first + shift * torch.arange(step)[:, None]
        tap_of = torch.tensor(falls_on) - starts  # (step, kernel)
        sums = (tap_of[:, None, :] == torch.arange(taps)[:, None]).float()
    return sums, (-first, taps - 1 + shift * (step - 1) + first), shift

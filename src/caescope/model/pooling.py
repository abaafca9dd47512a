"""Max pooling, alone or of what a convolution makes; without gradients nobody asks where the maximum was."""

from math import ceil

import torch
from torch.nn import functional as F

from caescope.model.layers import SameConv2d, convolve
from caescope.model.options import Pair

# Filters that a processor of this kind computes at a time, even where there are fewer
LANES = {"AVX512": 16, "AVX2": 8}.get(torch.backends.cpu.get_cpu_capability(), 1)


def convolve_and_pool(convolution: SameConv2d, x: torch.Tensor, pool: Pair) -> torch.Tensor:
    """Max pooling of a convolution of x (n, f, h, w), of which the result has sides that ``pool`` divides."""
    if pool == (1, 1):
        return convolution(x)
    if _joins_places(convolution, x, pool):
        rows = torch.maximum(*_convolve_to_places(convolution, x).chunk(2, dim=3))  # (n, h/2, w/2, 2 · f)
        return torch.maximum(*rows.chunk(2, dim=3)).permute(0, 3, 1, 2)
    return max_pool(convolution(x), pool)


def max_pool(x: torch.Tensor, pool: Pair) -> torch.Tensor:
    """Max pooling of (n, f, h, w), whose h and w ``pool`` divides."""
    if torch.is_grad_enabled() or x.is_cuda:
        return F.max_pool2d(x, pool)
    # Whole rows are compared in a third of the time
    n, f, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(n, h // pool[0], pool[0], w * f)
    columns = _maximum(rows, 2).view(n, h // pool[0], w // pool[1], pool[1], f)
    return _maximum(columns, 3).permute(0, 3, 1, 2)


def _joins_places(convolution: SameConv2d, x: torch.Tensor, pool: Pair) -> bool:
    """Tell whether the four pixels of each cell are better computed as filters of it."""
    if torch.is_grad_enabled() or x.is_cuda or pool != (2, 2) or convolution.stride != (1, 1):
        return False
    return joining_pays(convolution.kernel_size, convolution.out_channels, LANES)


def joining_pays(kernel: tuple[int, ...], filters: int, lanes: int) -> bool:
    """Tell whether a larger kernel and four times the filters take fewer steps, for a quarter of the pixels.

    >>> joining_pays((3, 3), filters=8, lanes=16), joining_pays((3, 3), filters=16, lanes=16)
    (True, False)
    """
    joined = (kernel[0] + 1) * (kernel[1] + 1) * ceil(4 * filters / lanes)
    return joined < 4 * kernel[0] * kernel[1] * ceil(filters / lanes)


def _convolve_to_places(convolution: SameConv2d, x: torch.Tensor) -> torch.Tensor:
    """Convolve to (n, h/2, w/2, 4 · f): pixels of a 2 × 2 cell as filters, which see it from their places.

    Each of them has the kernel at its own place in a window that is one pixel larger, and zeros around.
    """
    kernel = convolution.weight
    places = [F.pad(kernel, (right, 1 - right, low, 1 - low)) for low in (0, 1) for right in (0, 1)]
    bias = convolution.bias.expand(4, -1).reshape(-1).to(x.dtype)
    cells = convolve(x, torch.cat(places).to(x.dtype), bias, convolution.margins, (2, 2))
    return cells.permute(0, 2, 3, 1)


def _maximum(x: torch.Tensor, axis: int) -> torch.Tensor:
    first, *others = x.unbind(axis)
    for other in others:
        first = torch.maximum(first, other)
    return first

"""Where the pixels of a view come from: one warp for all that moves them.

Places are given as `grid_sample` takes them: x to the right, y downwards, from -1 to 1 between the outer
edges of the image, whatever its size.
"""

from functools import reduce
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch.nn import functional as F

from caescope.views.drawing import around_one, drawn, picked, standard

if TYPE_CHECKING:
    from caescope.views.distortions import Views

Entry: TypeAlias = torch.Tensor | int

SMOOTH = ("turn", "scale", "shear", "shift", "elastic", "crop")  # take pixels from between pixels
EXACT = ("flip", "flip_vertical", "quarter_turns")  # put pixels onto pixels
QUARTERS = [(1, 0), (0, 1), (-1, 0), (0, -1)]  # cosine and sine
NODES = 4  # along each side: between them lies a third of it


def warp(images: torch.Tensor, views: "Views", generator: torch.Generator) -> torch.Tensor:
    """Return images of shape (n, c, h, w) bent, scaled, sheared, turned, shifted, flipped and cropped."""
    smooth = any(getattr(views, name) for name in SMOOTH)
    if not (smooth or any(getattr(views, name) for name in EXACT)):
        return images
    mode = "bilinear" if smooth else "nearest"  # the second is exact where pixels fall onto pixels
    places = _places(images, views, generator)
    return F.grid_sample(images, places, mode, views.outside, align_corners=False)


def _places(images: torch.Tensor, views: "Views", generator: torch.Generator) -> torch.Tensor:
    """Return where in the image each pixel of the view comes from, shape (n, h, w, 2).

    An affine map is a weighted sum of x, y and 1, and a bicubic surface one of surfaces that are 1 at one
    node and 0 at the others. So all places are one product.
    """
    n, _, height, width = images.shape
    steps = [*_affine(n, height / width, views, generator), *_exact(n, height == width, views, generator)]
    if views.crop:
        share = drawn(n, 1 - views.crop, 1, generator)
        x, y = ((1 - share) * drawn(n, -1, 1, generator) for _ in range(2))
        steps.append(_matrix(share, 0, 0, share, x, y))
    weights = reduce(torch.matmul, steps, torch.eye(3).expand(n, 3, 3))[:, :2]
    basis = _plane(height, width)
    if views.elastic:
        heights = standard(n, (2, NODES**2), generator) * (2 * views.elastic)  # sides are 2 long
        weights = torch.cat([weights, heights], dim=2)
        basis = torch.cat([basis, _surfaces(height, width)])
    places = weights.flatten(0, 1).to(images.device) @ basis.to(images.device)
    return places.view(n, 2, height, width).permute(0, 2, 3, 1)


def _affine(n: int, tall: float, views: "Views", generator: torch.Generator) -> list[torch.Tensor]:
    """Return what undoes scale, shear, turn and shift, of which the first is done to the image first.

    ``tall`` is height divided by width: turns and shears are those of pixels, so that angles stay.
    """
    steps = []
    if views.scale:
        x, y = (1 / around_one(n, views.scale, generator) for _ in range(2))
        steps.append(_matrix(x, 0, 0, y))
    if views.shear:
        steps.append(_matrix(1, -tall * drawn(n, -views.shear, views.shear, generator), 0, 1))
    if views.turn:
        angle = torch.deg2rad(drawn(n, -views.turn, views.turn, generator))
        steps.append(_matrix(angle.cos(), tall * angle.sin(), -angle.sin() / tall, angle.cos()))
    if views.shift:
        x, y = (2 * drawn(n, -views.shift, views.shift, generator) for _ in range(2))  # sides are 2 long
        steps.append(_matrix(1, 0, 0, 1, x, y))
    return steps


def _exact(n: int, square: bool, views: "Views", generator: torch.Generator) -> list[torch.Tensor]:
    """Return what undoes quarter turns and flips."""
    steps = []
    if views.quarter_turns:
        cos, sin = picked(n, QUARTERS if square else QUARTERS[::2], generator).unbind(1)
        steps.append(_matrix(cos, sin, -sin, cos))
    if views.flip:
        steps.append(_matrix(picked(n, [-1, 1], generator), 0, 0, 1))
    if views.flip_vertical:
        steps.append(_matrix(1, 0, 0, picked(n, [-1, 1], generator)))
    return steps


def _matrix(xx: Entry, xy: Entry, yx: Entry, yy: Entry, x: Entry = 0, y: Entry = 0) -> torch.Tensor:
    """Return affine maps, shape (n, 3, 3), from entries that are numbers or of shape (n,)."""
    entries = [torch.as_tensor(entry, dtype=torch.float32) for entry in (xx, xy, x, yx, yy, y, 0, 0, 1)]
    return torch.stack(torch.broadcast_tensors(*entries), dim=1).view(-1, 3, 3)


def _plane(height: int, width: int) -> torch.Tensor:
    """Return x, y and 1 at the middle of each pixel, shape (3, h · w)."""
    x, y = ((2 * torch.arange(side) + 1) / side - 1 for side in (width, height))
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)]).flatten(1)


def _surfaces(height: int, width: int) -> torch.Tensor:
    """Return the bicubic surface over each node, 1 there and 0 at the others, shape (16, h · w)."""
    down, along = (_curves(side) for side in (height, width))
    return torch.einsum("ay,bx->abyx", down, along).reshape(NODES**2, -1)


def _curves(side: int) -> torch.Tensor:
    """Return the cubic curve over each node of a side, shape (4, side)."""
    nodes = torch.eye(NODES)[None, :, None]  # (1, 4, 1, 4): one picture of one row for each
    return F.interpolate(nodes, (1, side), mode="bicubic", align_corners=True)[0, :, 0]

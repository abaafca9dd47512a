"""What a view has lost: noise over all of it, and one square that is hidden."""

from typing import TYPE_CHECKING

import torch

from caescope.views.drawing import drawn, normal

if TYPE_CHECKING:
    from caescope.views.distortions import Views


def corrupt(images: torch.Tensor, views: "Views", generator: torch.Generator) -> torch.Tensor:
    """Return images of shape (n, h, w, c) with noise, and a square of zeros in each."""
    if views.noise:
        images = normal(images, generator).mul_(views.noise).add_(images)
    if views.mask:
        images = (images.flatten(2) * _outside_squares(images, views.mask, generator)).view(images.shape)
    return images


def _outside_squares(images: torch.Tensor, most: float, generator: torch.Generator) -> torch.Tensor:
    """Return 0 for what lies in the square of its image, and else 1, shape (n, h, w · c).

    Sides are up to ``most`` of the image's shorter one, to the nearest pixel, and all of a square is inside.
    """
    n, height, width, channels = images.shape
    side = (drawn(n, 0, most, generator) * min(height, width)).round()
    rows, columns = (_stretches(length, side, generator).to(images.device) for length in (height, width))
    return 1 - rows[:, :, None] * columns.repeat_interleave(channels, dim=1)[:, None]


def _stretches(length: int, sides: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return 1 for a stretch of each of the sides (n,) at a random place of a length, else 0: (n, length)."""
    starts = (drawn(len(sides), 0, 1, generator) * (length - sides + 1)).floor()
    places = torch.arange(length) - starts[:, None]
    return ((places >= 0) & (places < sides[:, None])).float()

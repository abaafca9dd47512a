"""Random numbers for the images of a batch, from a generator on the CPU."""

from collections.abc import Callable
from typing import Any

import torch


class BatchGenerator(torch.Generator):
    """Draws for all images of a batch, where only some of them are here, which get theirs.

    Attributes
    ----------
    share : caescope.model.share.Share or None
        Which are here; None for all.
    """

    share: Any = None


def for_images(
    n: int, draw: Callable[[int, torch.Generator], torch.Tensor], generator: torch.Generator
) -> torch.Tensor:
    """Return what ``draw(n, generator)`` draws for the ``n`` images that are here, shape (n, ...)."""
    share = getattr(generator, "share", None)
    return draw(n, generator) if share is None else draw(share.n_all, generator)[share.rows]


def standard(n: int, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Return standard normal numbers of a shape for each image, (n, *shape), on the CPU."""
    return for_images(n, lambda count, source: torch.randn(count, *shape, generator=source), generator)


def drawn(n: int, least: float, most: float, generator: torch.Generator) -> torch.Tensor:
    """Return one number for each image, shape (n,), uniform in [least, most)."""
    uniform = for_images(n, lambda count, source: torch.rand(count, generator=source), generator)
    return uniform * (most - least) + least


def around_one(n: int, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Return one factor for each image, shape (n,), uniform in [1 - strength, 1 + strength)."""
    return drawn(n, 1 - strength, 1 + strength, generator)


def picked(n: int, choices: list, generator: torch.Generator) -> torch.Tensor:
    """Return one of the choices for each image, all of them equally likely, shape (n, ...)."""
    picks = for_images(
        n, lambda count, source: torch.randint(len(choices), (count,), generator=source), generator
    )
    return torch.tensor(choices, dtype=torch.float32)[picks]


def normal(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return a standard normal number for each value of the images, on their device.

    They are many, so a GPU draws them itself, from a seed that the generator gives.
    """
    n, *shape = images.shape
    if images.device.type == "cpu":
        return standard(n, tuple(shape), generator)
    seed = int(torch.randint(2**63 - 1, (), generator=generator))

    def draw(count: int, _source: torch.Generator) -> torch.Tensor:
        source = torch.Generator(images.device).manual_seed(seed)
        return torch.randn(count, *shape, generator=source, device=images.device)

    return for_images(n, draw, generator)

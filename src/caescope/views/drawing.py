"""Random numbers for the images of a batch, from a generator on the CPU."""

import torch


def drawn(n: int, least: float, most: float, generator: torch.Generator) -> torch.Tensor:
    """Return one number for each image, shape (n,), uniform in [least, most)."""
    return torch.rand(n, generator=generator) * (most - least) + least


def around_one(n: int, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Return one factor for each image, shape (n,), uniform in [1 - strength, 1 + strength)."""
    return drawn(n, 1 - strength, 1 + strength, generator)


def picked(n: int, choices: list, generator: torch.Generator) -> torch.Tensor:
    """Return one of the choices for each image, all of them equally likely, shape (n, ...)."""
    picks = torch.randint(len(choices), (n,), generator=generator)
    return torch.tensor(choices, dtype=torch.float32)[picks]


def normal(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return a standard normal number for each value of the images, on their device.

    They are many, so a GPU draws them itself, from a seed that the generator gives.
    """
    device = images.device
    if device.type != "cpu":
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        generator = torch.Generator(device).manual_seed(seed)
    return torch.randn(images.shape, generator=generator, device=device)

"""What light does to a view: gamma, stain, and everything that is affine in a pixel's colour."""

from typing import TYPE_CHECKING

import torch

from caescope.views.drawing import around_one, drawn

if TYPE_CHECKING:
    from caescope.views.distortions import Views

# Luma and the two chroma axes of YIQ, as in scikit-image; greys have no chroma
YIQ = torch.tensor(
    [
        [0.299, 0.587, 0.114],
        [0.59590059, -0.27455667, -0.32134392],
        [0.21153661, -0.52273617, 0.31119955],
    ]
)
RGB = torch.linalg.inv(YIQ)
# How much red, green and blue light hematoxylin, eosin and DAB absorb (Ruifrok and Johnston 2001)
STAINS = torch.tensor([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
UNMIXING = torch.linalg.inv(STAINS)
DARKEST = 1 / 255  # what is black is taken for this, whose logarithm is finite
TISSUE = 0.15  # mean optical density from which on a pixel is tissue through and through


def recolour(images: torch.Tensor, views: "Views", generator: torch.Generator) -> torch.Tensor:
    """Return images of shape (n, c, h, w) in other light; what leaves [0, 1] is not cut off here."""
    if views.gamma:
        images = images ** _exponents(len(images), views.gamma, generator).to(images.device)
    if views.stain:
        images = _restain(images, views.stain, generator)
    if any((views.brightness, views.contrast, views.saturation, views.hue)):
        images = _transform(images, views, generator)
    return images


def _exponents(n: int, gamma: float, generator: torch.Generator) -> torch.Tensor:
    """Return exponents in [1 / (1 + gamma), 1 + gamma], uniform in their logarithm, shape (n, 1, 1, 1)."""
    return (1 + gamma) ** drawn(n, -1, 1, generator)[:, None, None, None]


def _restain(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Change how much hematoxylin and eosin there is.

    Optical densities are amounts times stains, so multiplying amounts multiplies densities with one matrix.
    What is added to the amounts fades where there is no tissue, so glass stays white; it is half as strong,
    so that the palest tissue is not made white either.
    """
    n, device = len(images), images.device
    change = torch.stack([around_one(n, strength, generator) - 1 for _ in range(2)], dim=1)  # (n, 2)
    matrix = torch.eye(3) + (UNMIXING[:, :2] * change[:, None]) @ STAINS[:2]  # for densities in rows
    added = (
        torch.stack([drawn(n, -strength / 2, strength / 2, generator) for _ in range(2)], dim=1) @ STAINS[:2]
    )
    light = images.flatten(2).clamp(min=DARKEST).log_()  # densities with the other sign
    tissue = (light.mean(dim=1, keepdim=True) / -TISSUE).clamp_(max=1)
    changed = (-added[:, :, None].to(device) * tissue).baddbmm_(matrix.mT.to(device), light)
    return changed.exp_().view(images.shape)


def _transform(images: torch.Tensor, views: "Views", generator: torch.Generator) -> torch.Tensor:
    """Change brightness, contrast, saturation and hue: one matrix and one offset for each image."""
    n, channels = images.shape[:2]
    brightness = around_one(n, views.brightness, generator)
    contrast = around_one(n, views.contrast, generator)
    matrix = _chroma(n, views, generator) if channels == 3 else torch.eye(channels).expand(n, -1, -1)
    matrix = (brightness * contrast)[:, None, None] * matrix
    luma = YIQ[:1] if channels == 3 else torch.full((1, channels), 1 / channels)
    mean = images.mean(dim=(2, 3)) @ luma.T.to(images.device)  # (n, 1)
    offset = (brightness * (1 - contrast))[:, None].to(images.device) * mean
    changed = torch.baddbmm(offset[:, :, None], matrix.to(images.device), images.flatten(2))
    return changed.view(images.shape)


def _chroma(n: int, views: "Views", generator: torch.Generator) -> torch.Tensor:
    """Return what multiplies and turns the chroma of a colour and leaves its luma, shape (n, 3, 3)."""
    saturation = around_one(n, views.saturation, generator)
    angle = 2 * torch.pi * drawn(n, -views.hue, views.hue, generator)
    turned = torch.zeros(n, 3, 3)
    turned[:, 0, 0] = 1
    turned[:, 1, 1] = turned[:, 2, 2] = saturation * angle.cos()
    turned[:, 2, 1] = saturation * angle.sin()
    turned[:, 1, 2] = -turned[:, 2, 1]
    return RGB @ turned @ YIQ

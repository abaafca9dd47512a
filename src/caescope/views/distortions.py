"""How strongly images are distorted, and the distorting."""

from dataclasses import dataclass, fields

import torch

from caescope.errors import OptionError
from caescope.views.colour import recolour
from caescope.views.corruption import corrupt
from caescope.views.geometry import warp
from caescope.views.strengths import parse_value

COLOURS = ("saturation", "hue", "stain")  # what needs three channels


@dataclass(frozen=True, kw_only=True)
class Views:
    """Random distortions of images; each image of a batch gets its own, and another one in every call.

    Everything is left out whose strength is 0, which all are at first. Pixels are moved first, in one step;
    then gamma, stain and the other changes of colour follow, then noise, then the mask.

    Parameters
    ----------
    turn : float, from 0 to 180
        Degrees; uniform in [-turn, turn].
    scale : float, from 0 to 0.9
        Each axis is stretched by a factor of its own, uniform in [1 - scale, 1 + scale].
    shear : float, from 0 to 1
        Tangent of the angle by which upright lines lean; uniform in [-shear, shear].
    shift : float, from 0 to 1
        Share of each side, uniform in [-shift, shift].
    elastic : float, from 0 to 0.5
        Standard deviation of a smooth displacement along each axis, share of the side, at the nodes of a
        4 × 4 grid that reaches from edge to edge; a bicubic surface joins them, which varies less between.
    crop : float, from 0 to 0.9
        Both sides are cut to one share of themselves, uniform in [1 - crop, 1], at a random place, and
        brought back to their size.
    flip, flip_vertical : bool
        Half of the images are mirrored, left to right or upside down.
    quarter_turns : bool
        By 0, 90, 180 or 270 degrees; by 0 or 180 where images are not square. Where only flips and quarter
        turns are asked for, every value stays what it was.
    outside : str
        What is seen where the image ends: ``"zeros"``, ``"reflection"`` or ``"border"``, its last pixels.
    brightness : float, from 0 to 1
        Every value is multiplied by a factor uniform in [1 - brightness, 1 + brightness].
    contrast : float, from 0 to 1
        So are its differences from the image's mean luma.
    gamma : float, from 0 to 1
        Values get an exponent in [1 / (1 + gamma), 1 + gamma], uniform in its logarithm.
    saturation : float, from 0 to 1
        Differences from each pixel's luma are multiplied as in ``contrast``. Needs three channels.
    hue : float, from 0 to 0.5
        Share of the circle by which chroma is turned, uniform in [-hue, hue]; luma stays. Needs three
        channels.
    stain : float, from 0 to 1
        The amounts of hematoxylin and of eosin are multiplied by factors uniform in [1 - stain, 1 + stain],
        and numbers uniform in [-stain / 2, stain / 2] are added, in units of optical density (natural
        logarithm); on what is paler than tissue in proportion less, so that white stays white. Needs three
        channels.
    noise : float, from 0 to 1
        Standard deviation of normal noise, independent in every value.
    mask : float, from 0 to 1
        Largest side of a square of zeros, share of the shorter side; its side and place are uniform, and it
        lies within the image.

    Raises
    ------
    OptionError
        If a strength is no number or out of its range, or something else is not of its kind.

    References
    ----------
    P.Y. Simard et al. Best practices for convolutional neural networks applied to visual document analysis.
    ICDAR 2003, for elastic displacements. A.C. Ruifrok, D.A. Johnston. Quantification of histochemical
    staining by color deconvolution. Anal Quant Cytol Histol 23, 2001, for the stains, and D. Tellez et al.
    Whole-slide mitosis detection in H&E breast histology using PHH3 as a reference. IEEE Trans Med Imaging
    37(9), 2018, for changing them. T. DeVries, G.W. Taylor. Improved regularization of convolutional neural
    networks with cutout. 2017, https://arxiv.org/abs/1708.04552, for the mask.

    Examples
    --------
    >>> images = torch.arange(4.0).reshape(1, 2, 2, 1).repeat(50, 1, 1, 1) / 4
    >>> views = Views(flip=True)(images, torch.Generator().manual_seed(0))
    >>> sorted({tuple(view.flatten().tolist()) for view in views})
    [(0.0, 0.25, 0.5, 0.75), (0.25, 0.0, 0.75, 0.5)]
    """

    turn: float = 0
    scale: float = 0
    shear: float = 0
    shift: float = 0
    elastic: float = 0
    crop: float = 0
    flip: bool = False
    flip_vertical: bool = False
    quarter_turns: bool = False
    outside: str = "reflection"
    brightness: float = 0
    contrast: float = 0
    gamma: float = 0
    saturation: float = 0
    hue: float = 0
    stain: float = 0
    noise: float = 0
    mask: float = 0

    def __post_init__(self):
        for field in fields(self):
            value = parse_value(getattr(self, field.name), field.name, field.default)
            object.__setattr__(self, field.name, value)

    @torch.no_grad()
    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return a view of each image.

        Parameters
        ----------
        images : torch.Tensor, shape (n, height, width, channels), float32 in [0, 1]
            They stay as they are.
        generator : torch.Generator
            On the CPU, wherever the images are; nothing else decides what comes out.

        Returns
        -------
        torch.Tensor
            Of the same shape, type and device, in [0, 1].

        Raises
        ------
        OptionError
            If saturation, hue or stain are to change in images without three channels.
        """
        self.demand_colours(images.shape[-1])
        planes = images.permute(0, 3, 1, 2)
        planes = recolour(warp(planes, self, generator), self, generator)
        views = corrupt(planes.permute(0, 2, 3, 1), self, generator)
        return torch.clamp(views, 0, 1, out=torch.empty_like(images))

    def as_dict(self) -> dict:
        """Return what differs from ``Views()`` as plain numbers, booleans and strings, by name.

        >>> Views(turn=15, flip=True).as_dict()
        {'turn': 15.0, 'flip': True}
        """
        values = ((field, getattr(self, field.name)) for field in fields(self))
        return {field.name: value for field, value in values if value != field.default}

    def demand_colours(self, channels: int) -> None:
        """Demand that images with so many channels have all the colours that are to change.

        Raises
        ------
        OptionError
            If they have not.
        """
        if channels != 3 and (names := [name for name in COLOURS if getattr(self, name)]):
            raise OptionError(
                f"Only images with 3 channels (RGB) have {', '.join(COLOURS)}",
                f"{', '.join(f'{name}={getattr(self, name)}' for name in names)} for images with {channels}",
                f"Leave {' and '.join(names)} out.",
            )

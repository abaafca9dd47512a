"""Views that have a name, and views as somebody wrote them down."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from caescope.errors import OptionError
from caescope.views.distortions import COLOURS, Views
from caescope.views.strengths import shown

PRESETS = {
    "digits": Views(turn=18, scale=0.18, shear=0.24, shift=0.1, elastic=0.045, outside="zeros"),
    "natural": Views(crop=0.5, flip=True, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    "histology": Views(
        turn=10,
        scale=0.1,
        elastic=0.02,
        crop=0.2,
        flip=True,
        flip_vertical=True,
        quarter_turns=True,
        brightness=0.05,
        stain=0.2,
    ),
    "noise": Views(noise=0.25, mask=0.4),
}


def parse_views(views: Any, channels: int) -> Views:
    """Return views from what somebody wrote for them.

    Parameters
    ----------
    views : str, mapping or Views
        The name of one of `PRESETS`; strengths by their names, as `Views` takes and `Views.as_dict` gives
        them; or views as they are.
    channels : int
        Of the images. Where they are not 3, a preset leaves out what changes colours.

    Returns
    -------
    Views

    Raises
    ------
    OptionError
        If there is no such preset or strength, a value is not of its kind or out of range, or colours of
        images that have none are asked to change.

    Examples
    --------
    >>> parse_views("histology", 1).stain, parse_views({"turn": 5}, 1).turn
    (0.0, 5.0)
    """
    if isinstance(views, str) and views in PRESETS:
        return PRESETS[views] if channels == 3 else _without_colours(PRESETS[views])
    if isinstance(views, Mapping):
        views = _from_mapping(views)
    if not isinstance(views, Views):
        raise OptionError(
            f"views must be one of {', '.join(PRESETS)}, or strengths by their names",
            f"views={shown(views)}",
            'Use for example views="digits" or views={"turn": 10}.',
        )
    views.demand_colours(channels)
    return views


def name_of(views: Views) -> str | None:
    """Return the name of the preset that views are, with or without its colours, or None.

    >>> name_of(Views(noise=0.25, mask=0.4)), name_of(Views(noise=0.3))
    ('noise', None)
    """
    for name, preset in PRESETS.items():
        if views in (preset, _without_colours(preset)):
            return name
    return None


def _without_colours(views: Views) -> Views:
    return replace(views, **dict.fromkeys(COLOURS, 0))


def _from_mapping(strengths: Mapping) -> Views:
    names = [field.name for field in fields(Views)]
    for name in strengths:
        if name not in names:
            raise OptionError(
                f"views must have names among {', '.join(names)}",
                shown(name),
                'Use for example {"turn": 10}.',
            )
    return Views(**strengths)

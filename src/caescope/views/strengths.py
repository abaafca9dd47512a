"""Single values of views, which may come from a stranger's file."""

from numbers import Real
from reprlib import repr as short_repr
from typing import Any

from caescope.errors import OptionError

OUTSIDE = ("zeros", "reflection", "border")
MOST = {"turn": 180, "scale": 0.9, "crop": 0.9, "elastic": 0.5, "hue": 0.5}  # of the others 1


def parse_value(value: Any, name: str, default: Any) -> Any:
    """Return what ``name`` is set to, in the normal form of its kind, which its default tells.

    Raises
    ------
    OptionError
        If it is not of that kind, or out of range.

    Examples
    --------
    >>> parse_value(15, "turn", 0), parse_value(True, "flip", False)
    (15.0, True)
    """
    if isinstance(default, bool):
        return _parse_switch(value, name)
    return _parse_outside(value, name) if isinstance(default, str) else _parse_strength(value, name)


def shown(value: Any) -> str:
    """Return how a value is written, cut where that is long.

    >>> shown("turn"), len(shown(["turn"] * 10**6))
    ("'turn'", 53)
    """
    try:
        return short_repr(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "an integer of thousands of digits"


def _parse_strength(value: Any, name: str) -> float:
    most = MOST.get(name, 1)
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if is_number and value <= most and not value < 0:  # NaN is at most nothing
        return float(value)
    raise OptionError(
        f"{name} must be a number from 0 to {most}", f"{name}={shown(value)}", f"Use for example {name}=0.1."
    )


def _parse_switch(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return value
    raise OptionError(f"{name} must be True or False", f"{name}={shown(value)}", f"Use {name}=True.")


def _parse_outside(value: Any, name: str) -> str:
    if isinstance(value, str) and value in OUTSIDE:
        return value
    raise OptionError(
        f"{name} must be one of {', '.join(OUTSIDE)}", f"{name}={shown(value)}", f'Use {name}="reflection".'
    )

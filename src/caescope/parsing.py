"""Numbers and names from outside, brought into their normal form."""

import operator
import os
from collections.abc import Collection
from typing import Any

from caescope.errors import OptionError


def parse_integer(value: Any, name: str, least: int = 1, most: int | None = None) -> int:
    """Return an option as an integer from ``least`` to ``most``.

    Raises
    ------
    OptionError
        If it is something else.

    Examples
    --------
    >>> parse_integer(5, "neighbours")
    5
    """
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = least - 1
    if least <= number and (most is None or number <= most):
        return number
    bounds = f"an integer of at least {least}" if most is None else f"an integer from {least} to {most}"
    raise OptionError(
        f"{name} must be {bounds}", f"{name}={value!r}", f"Use for example {name}={max(least, 1)}."
    )


def parse_choice(value: Any, name: str, known: Collection[str], advice: str) -> str:
    """Return an option that is one of the known names.

    Raises
    ------
    OptionError
        Listing them, if it is something else.

    Examples
    --------
    >>> parse_choice("plain", "architecture", ("plain", "residual"), "Use plain.")
    'plain'
    """
    if isinstance(value, str) and value in known:
        return value
    raise OptionError(f"{name} must be one of {', '.join(known)}", f"{name}={value!r}", advice)


def parse_seed(seed: Any) -> int:
    """Return a seed from 0 to 2**32 - 1, the range that every generator used here understands."""
    return parse_integer(seed, "seed", 0, 2**32 - 1)


def is_missing(value: Any) -> bool:
    """Tell whether a value stands for one that nobody knows: None, NaN, pandas.NA.

    >>> is_missing(None), is_missing(float("nan")), is_missing("")
    (True, True, False)
    """
    try:
        return value is None or bool(value != value)  # NaN and its kin differ from themselves
    except TypeError:  # pandas.NA does not even answer with a boolean
        return True


def is_path(value: Any) -> bool:
    """Tell whether a value names something: a file, a folder, a column or a data set."""
    return isinstance(value, (str, os.PathLike))

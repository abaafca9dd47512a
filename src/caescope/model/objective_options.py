"""What an objective can be asked for, parsed once."""

from typing import Any

from caescope.errors import OptionError
from caescope.parsing import parse_choice
from caescope.views import Views, parse_views
from caescope.views.strengths import shown

# name: what its second term counts for by default, where it has one
OBJECTIVES: dict[str, float | None] = {
    "reconstruction": None,
    "denoising": None,
    "invariant": 2.5,
    "variational": 1.0,
}
# By what those that distort images do so by default, in grey and in colour
VIEWS = {"denoising": ("noise", "noise"), "invariant": ("digits", "natural")}


def parse_objective(name) -> str:
    """Return the objective's name, or raise `OptionError` listing the known ones."""
    return parse_choice(name, "objective", OBJECTIVES, 'Use "reconstruction", the default.')


def parse_weight(weight, objective: str) -> float | None:
    """Return what an objective's second term counts for, at least 0; None where it has no such term."""
    default = OBJECTIVES[objective]
    if weight is None:
        return default
    if default is None:
        having = " and ".join(name for name, value in OBJECTIVES.items() if value is not None)
        raise OptionError(
            f"objective_weight is for the objectives {having}",
            f"objective_weight={shown(weight)} with objective={objective!r}",
            "Leave it out.",
        )
    try:
        number = float("nan") if isinstance(weight, bool) else float(weight)
    except (TypeError, ValueError, OverflowError):  # the last of an integer that no float can hold
        number = float("nan")
    if 0 <= number < float("inf"):
        return number
    raise OptionError(
        "objective_weight must be a number of at least 0",
        f"objective_weight={shown(weight)}",
        f"Leave it out for the default, {default}.",
    )


def parse_views_of(objective: str, views: Any, channels: int) -> Views | None:
    """Return how an objective distorts images of so many channels; None where it leaves them alone."""
    if objective in VIEWS:
        return parse_views(VIEWS[objective][channels == 3] if views is None else views, channels)
    if views is None:
        return None
    raise OptionError(
        f"views are for the objectives {' and '.join(VIEWS)}",
        f"views={shown(views)} with objective={objective!r}",
        "Leave them out.",
    )

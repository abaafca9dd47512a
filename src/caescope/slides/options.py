"""How tiles are to be cut."""

from dataclasses import dataclass
from typing import Any

from caescope.errors import OptionError
from caescope.parsing import parse_integer
from caescope.slides.resolution import parse_positive

LEAST_TISSUE = {"otsu": 0.5, "white": 0.8, "none": 0.0}  # by rule; white: at most 20 % of a tile are
EDGES = ("drop", "pad")


@dataclass(frozen=True)
class TileOptions:
    """How tiles are to be cut, whatever the slide; the parameters of `plan_tiles`, checked."""

    size: int = 128
    mpp: float | None = None
    magnification: float | None = None
    overlap: int = 0
    min_tissue: float | None = None
    rule: str = "otsu"
    edges: str = "drop"
    slide_mpp: float | None = None

    def __post_init__(self):
        _demand_one_of("rule", self.rule, tuple(LEAST_TISSUE))
        _demand_one_of("edges", self.edges, EDGES)
        size = parse_integer(self.size, "size", 1, 4096)
        least = LEAST_TISSUE[self.rule] if self.min_tissue is None else _parse_share(self.min_tissue)
        parsed = {
            "size": size,
            "overlap": parse_integer(self.overlap, "overlap", 0, size - 1),
            "mpp": parse_positive(self.mpp, "mpp", 0.5),
            "magnification": parse_positive(self.magnification, "magnification", 20),
            "slide_mpp": parse_positive(self.slide_mpp, "slide_mpp", 0.5),
            "min_tissue": least if self.rule != "none" else 0.0,
        }
        for name, value in parsed.items():
            object.__setattr__(self, name, value)
        if self.mpp is not None and self.magnification is not None:
            raise OptionError(
                "mpp and magnification must not both be given",
                f"mpp={self.mpp:g} and magnification={self.magnification:g}",
                "Leave one of them out.",
            )


def _parse_share(value: Any) -> float:
    try:
        share = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        share = -1.0
    if not 0 <= share <= 1:
        raise OptionError(
            "min_tissue must lie in [0, 1]", f"min_tissue={value!r}", "Use for example min_tissue=0.5."
        )
    return share


def _demand_one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise OptionError(
            f"{name} must be one of {', '.join(known)}",
            f"{name}={value!r}",
            f'Use for example {name}="{known[0]}".',
        )

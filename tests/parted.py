"""Collections in parts, as caescope encode --workers writes them, small enough to be looked at as a whole."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from caescope.parts import LatentParts, open_parts, part_name, write_success
from caescope.storage import find_place
from caescope.table import LatentTable

KINDS, FEATURES = 4, 6


@dataclass(frozen=True, eq=False)
class Whole:
    """What all parts together hold."""

    folder: Path
    latents: np.ndarray
    labels: np.ndarray
    errors: np.ndarray
    slides: np.ndarray

    @property
    def parts(self) -> LatentParts:
        return open_parts(self.folder)


def write_whole(
    folder: Path, counts=(500, 500, 37, 500, 463), seed=0, labels=True, split=None, slides=0, far=0
) -> Whole:
    """Write noisy groups of latents, a tenth of them with another's label, every seventh with none."""
    rng, n = np.random.default_rng(seed), sum(counts)
    kinds = rng.integers(KINDS, size=n)
    latents = (4 * rng.normal(size=(KINDS, FEATURES))[kinds] + rng.normal(size=(n, FEATURES))).astype("f4")
    latents[:far] = rng.uniform(-60, 60, (far, FEATURES))
    kinds = np.where(rng.random(n) < 0.1, rng.integers(KINDS, size=n), kinds)
    named = np.ma.array(np.array(["ape", "bee", "cat", "dog"])[kinds], mask=np.arange(n) % 7 == 3)
    errors, groups = (
        rng.random(n, np.float32),
        np.array([f"slide {i}" for i in rng.integers(slides or 1, size=n)]),
    )
    folder.mkdir()
    starts = np.cumsum([0, *counts])
    for start, stop in pairwise(starts):
        rows = slice(start, stop)
        LatentTable(
            np.array([f"image {i:05d}" for i in range(start, stop)]),
            latents[rows],
            None if split is None else split[rows],
            named[rows] if labels else None,
            errors=errors[rows],
            columns={"slide": groups[rows]} if slides else {},
        ).write(folder / part_name(int(start)))
    write_success(find_place(folder), list(counts))
    return Whole(folder, latents, named, errors, groups)

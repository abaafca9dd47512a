"""Options for the images at hand, chosen by their number, size and colours, and never by a label."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from caescope.data.opening import Source
from caescope.images import is_large, to_float
from caescope.parsing import parse_choice

RECIPES = ("best",)
LOOKED_AT = 200  # images whose colours are looked at
GLASS = 0.9  # pixels lighter than this in all channels are not looked at
GREENLESS = 0.02  # by how much green is darker than red and blue, at least, in what is stained pink to purple
MOSTLY = 0.9  # of the images looked at


class Training(NamedTuple):
    """What networks for images of a size are, how they are trained, and why."""

    architecture: str
    filters: tuple[int, ...]
    latent_features: int
    objective_weight: float
    largest_batch: int
    steps: int
    why_architecture: str
    why_weight: str


SMALL = Training(
    architecture="plain",
    filters=(32, 64),
    latent_features=20,
    objective_weight=0.5,
    largest_batch=128,
    steps=4700,
    why_architecture="one wide convolution a stage rebuilds small images as well as blocks do, in less time",
    why_weight="with more agreement, small images are rebuilt worse",
)
LARGE = Training(
    architecture="residual",
    filters=(16, 32, 64),
    latent_features=64,
    objective_weight=2.5,
    largest_batch=256,
    steps=1000,
    why_architecture="blocks with normalisation rebuild better from few latents",
    why_weight="the objective's own",
)


@dataclass(frozen=True)
class Recipe:
    """Options by name, and why each of them was chosen.

    Attributes
    ----------
    options : dict
        As in `caescope.run_options.RunOptions`.
    reasons : dict of str to str
    """

    options: dict[str, Any]
    reasons: dict[str, str]

    def __str__(self) -> str:
        return "".join(f"\n  {name}={self.options[name]}: {why}" for name, why in self.reasons.items())

    def without(self, given: Mapping[str, Any]) -> "Recipe":
        """Return what is left where some options were given; other objectives have their own views."""
        other = given.get("objective", self.options["objective"]) != self.options["objective"]
        gone = {*given, *(("objective_weight", "views") if other else ())}
        return Recipe(
            *({name: d[name] for name in d if name not in gone} for d in (self.options, self.reasons))
        )


def parse_recipe(name: Any) -> str | None:
    """Return a recipe's name or None, or raise `OptionError`."""
    return None if name is None else parse_choice(name, "recipe", RECIPES, "Leave it out for the defaults.")


def best(images: Source, n_training: int) -> Recipe:
    """Choose what tells most about images in a few latents, for a training of minutes and not of seconds.

    Parameters
    ----------
    images : source
        Some of them are read, for their colours.
    n_training : int
        How many of them are trained on.
    """
    height, width, _ = images.shape
    how = LARGE if is_large(images.shape) else SMALL
    size = f"images of {height} × {width} pixels"
    batch_size = max(16, min(how.largest_batch, n_training // 8))
    epochs = max(8, -(-how.steps // -(-n_training // batch_size)))
    chosen = {
        "objective": ("invariant", "what an image and a distorted view of it share is what it shows"),
        "objective_weight": (how.objective_weight, how.why_weight),
        "views": _views_for(images),
        "architecture": (how.architecture, how.why_architecture),
        "filters": (how.filters, f"{size} leave little to flatten after so many stages"),
        "latent_features": (how.latent_features, f"{size} take about so many to rebuild"),
        "batch_size": (batch_size, "deviations over a batch need many images, and training many batches"),
        "epochs": (
            epochs,
            f"{n_training:,} train images make {epochs * -(-n_training // batch_size):,} steps",
        ),
        "map": ("umap", "UMAP keeps groups apart and is installed")
        if has_umap()
        else ("tsne", "UMAP is not installed"),
    }
    options = {name: value for name, (value, _) in chosen.items()}
    return Recipe(options, {name: reason for name, (_, reason) in chosen.items()})


def choose(name: str, images: Source, n_training: int) -> Recipe:
    """Return the options of a recipe for these images."""
    return {"best": best}[name](images, n_training)


def has_umap() -> bool:
    """Say whether maps can be drawn by UMAP here."""
    return find_spec("umap") is not None


def _views_for(images: Source) -> tuple[str, str]:
    """Return the name of the views that leave these images what they are, and why."""
    if images.shape[2] == 1:
        return "digits", "grey images may be moved, turned and bent a little, and may not be mirrored"
    if "mpp" in images.columns:
        return "histology", "tiles of slides have no up and down, and stains vary"
    share = _stained(images)
    if share >= MOSTLY:
        return (
            "histology",
            f"{share:.0%} of the images are pink to purple, as stained tissue is: no up and down",
        )
    return "natural", f"only {share:.0%} of the images are pink to purple, so they may be scenes with an up"


def _stained(images: Source) -> float:
    """Return the share of images that are pink to purple where they are not white: green is darkest there."""
    rows = np.unique(np.linspace(0, len(images) - 1, LOOKED_AT).astype(int))
    pixels = to_float(images.read(rows))
    tissue = (pixels.min(-1, keepdims=True) < GLASS).astype(np.float32)  # (n, height, width, 1)
    means = (pixels * tissue).sum((1, 2)) / np.maximum(tissue.sum((1, 2)), 1)  # (n, 3)
    return float((means[:, 1] + GREENLESS <= means[:, [0, 2]].min(1)).mean())

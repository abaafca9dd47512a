"""What options look like on the command line, and the groups of them that several commands share."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from caescope.storage import is_remote, local_path


class PathOrUrl(click.Path):
    """A path, or a URL as text, which `pathlib` would change; where only a disk will do, no URL."""

    def __init__(self, remote: bool):
        super().__init__(path_type=Path)
        self.remote = remote

    def convert(self, value, param, ctx):
        if self.remote and is_remote(value):
            return value
        what = param.opts[0] if isinstance(param, click.Option) else "A run folder, or a table of one,"
        return super().convert(local_path(value, what), param, ctx)


PRECISION = click.Choice(["auto", "float32", "bfloat16"])
OUT = IN = PathOrUrl(remote=False)
OUT_OR_URL = IN_OR_URL = PathOrUrl(remote=True)


class Integers(click.ParamType):
    """Integers separated by commas: ``8,16``."""

    name = "n,n"

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return value
        try:
            return tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} must be integers separated by commas, for example 8,16.", param, ctx)


class Pair(Integers):
    """One integer for both axes, or two: ``3`` or ``3,5`` (vertical, horizontal)."""

    def convert(self, value, param, ctx):
        sizes = super().convert(value, param, ctx)
        return sizes[0] if isinstance(sizes, tuple) and len(sizes) == 1 else sizes


class IntegerOr(click.ParamType):
    """An integer, or one word and what it means: None, unless something else is said."""

    def __init__(self, word: str, meaning: str | None = None):
        self.word, self.name, self.meaning = word, f"n|{word}", meaning

    def convert(self, value, param, ctx):
        if value is None or isinstance(value, int):
            return value
        if value.lower() == self.word:
            return self.meaning
        return click.INT.convert(value, param, ctx)


def _split_names(_context, _parameter, value: str | None) -> tuple[str, ...] | None:
    """Return names separated by commas: ``slide,scanner``."""
    return None if value is None else tuple(part.strip() for part in value.split(","))


def _group(*options: Callable) -> Callable:
    """Return one decorator that adds several options, in their order."""
    return lambda command: reduce(lambda function, option: option(function), reversed(options), command)


class Share(click.ParamType):
    """A share: ``0.01`` or ``1%``."""

    name = "share"

    def convert(self, value, param, ctx):
        try:
            return float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
        except AttributeError:
            return value
        except ValueError:
            self.fail(f"{value!r} must be a share, for example 1% or 0.01.", param, ctx)


tile_options = _group(
    click.option("--tile-size", type=int, help="Pixels along a tile's side.  [default: 128]"),
    click.option("--mpp", type=float, help="Microns per pixel of the tiles."),
    click.option("--magnification", type=float, help="Of the tiles, such as 2.5, in place of --mpp."),
    click.option("--overlap", type=int, help="Pixels that neighbouring tiles share.  [default: 0]"),
    click.option("--min-tissue", type=float, help="Share of a tile that must be tissue.  [default: 0.5]"),
    click.option(
        "--tissue-rule",
        type=click.Choice(["otsu", "white", "none"]),
        help="How tissue is told from glass.  [default: otsu]",
    ),
    click.option("--slide-mpp", type=float, help="Microns per pixel of slides that do not tell theirs."),
    click.option(
        "--stain",
        type=click.Choice(["macenko", "reinhard"]),
        help="Bring the colours of each slide to a common target.  [default: left as they are]",
    ),
)
source_options = _group(
    click.option("--resize", type=Pair(), metavar="N|H,W", help="Height and width of every image."),
    click.option("--crop", type=Pair(), metavar="N|H,W", help="Centre that is cut out of every image."),
    click.option("--grey", is_flag=True, help="Leave colours out."),
    click.option(
        "--skip-unreadable",
        type=Share(),
        help="Share of the images that may be left out because they cannot be read, such as 1%.",
    ),
    tile_options,
)

training_options = _group(
    click.option(
        "--latent-features",
        type=IntegerOr("none"),
        default=20,
        show_default=True,
        help="Latents for each image.",
    ),
    click.option(
        "--filters",
        type=Integers(),
        help="Filters of each stage.  [default: 8,16; 8,16,32 from 64 pixels on]",
    ),
    click.option("--kernel", type=Pair(), default="3", show_default=True, help="Size of the convolutions."),
    click.option("--stride", type=Pair(), default="1", show_default=True, help="Stride of each convolution."),
    click.option("--pool", type=Pair(), default="2", show_default=True, help="Max pooling of each stage."),
    click.option("--optimizer", default="adamax", show_default=True, help="Keras's name of an optimizer."),
    click.option("--lossfn", default="mse", show_default=True, help="Keras's name of a loss."),
    click.option(
        "--latent-activation",
        type=click.Choice(["linear", "relu"]),
        default="linear",
        show_default=True,
        help="A ReLU there loses latents.",
    ),
    click.option(
        "--architecture",
        type=click.Choice(["plain", "residual"]),
        default="plain",
        show_default=True,
        help="What a stage is made of; residual rebuilds better and takes longer.",
    ),
    click.option(
        "--objective",
        type=click.Choice(["reconstruction", "denoising", "invariant", "variational"]),
        default="reconstruction",
        show_default=True,
        help="What training minimises; invariant gives a distorted view the latents of its image.",
    ),
    click.option(
        "--objective-weight", type=float, help="Of what they add.  [default: invariant 2.5, variational 1]"
    ),
    click.option(
        "--views",
        type=click.Choice(["digits", "natural", "histology", "noise"]),
        help="How images are distorted for denoising and invariant.  [default: by objective and colours]",
    ),
    click.option("--learning-rate", type=float, help="Peak of the schedule.  [default: the optimizer's own]"),
    click.option(
        "--epochs", type=int, help="Times that every image is seen.  [default: 5, more on small collections]"
    ),
    click.option(
        "--patience",
        type=int,
        help="Epochs to wait for a lower val_loss before training ends with its best weights.  "
        "[default: a tenth of the epochs, where they are not given]",
    ),
    click.option("--batch-size", type=int, default=128, show_default=True, help="Images for each step."),
    click.option(
        "--precision",
        type=PRECISION,
        default="auto",
        show_default=True,
        help="Numbers to train in; auto is bfloat16 where the hardware has it.",
    ),
)

judging_options = _group(
    click.option(
        "--map",
        type=click.Choice(["tsne", "pca", "umap", "pacmap"]),
        default="tsne",
        show_default=True,
        help="Projection to two dimensions.",
    ),
    click.option("--perplexity", type=float, default=40, show_default=True, help="Of t-SNE."),
    click.option(
        "--clusters",
        type=IntegerOr("auto"),
        default=20,
        show_default=True,
        help="K; auto takes the K with the best silhouette.",
    ),
    click.option(
        "--cluster-method",
        type=click.Choice(["kmeans", "mixture", "hdbscan"]),
        default="kmeans",
        show_default=True,
        help="What the map is clustered by; the others are shown beside it.",
    ),
    click.option("--group", help="Column, such as slide, whose values stay on one side of the split."),
    click.option(
        "--confounders",
        metavar="NAME,NAME",
        callback=_split_names,
        help="Columns to look for in the latents.  [default: all]",
    ),
    click.option(
        "--overlay",
        metavar="NAME,NAME",
        callback=_split_names,
        help="What tiles are coloured by on their slides: cluster, error, label, a latent such as z003, or a "
        "column.  [default: cluster,error]",
    ),
    click.option(
        "--stability",
        type=int,
        default=5,
        show_default=True,
        help="Seeds to cluster with again; 0 leaves it out.",
    ),
)

models_option = click.option(
    "--models", type=int, default=1, show_default=True, help="Models to train, to see what comes back."
)
refine_option = click.option(
    "--refine",
    type=IntegerOr("auto", meaning="auto"),
    help="Let latents gather in so many clusters after training; auto takes as many as a map shows best.",
)
recipe_option = click.option(
    "--recipe",
    type=click.Choice(["best"]),
    help="Choose the options that are not given: best takes minutes, and latents tell what is shown.",
)
seed_option = click.option("--seed", type=int, default=0, show_default=True, help="Of everything random.")
encode_precision_option = click.option(
    "--precision",
    type=PRECISION,
    default="float32",
    show_default=True,
    help="Numbers to encode in. bfloat16 is faster on hardware that has it, and shifts latents by a hundredth"
    " of their deviation; auto is bfloat16 there.",
)
device_option = click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto.")
workers_options = _group(
    click.option("--workers", type=int, metavar="N", help="Processes that share the job, through Ray."),
    click.option(
        "--address",
        metavar="ray://HOST:PORT",
        help="Of a Ray cluster that runs.  [default: RAY_ADDRESS, or this machine]",
    ),
    click.option("--gpus-per-worker", type=float, default=0, help="GPUs for each worker; 0.5 shares one."),
    click.option("--cpus-per-worker", type=int, help="Processors for each worker.  [default: its share]"),
)
labels_option = click.option("--labels", type=IN_OR_URL, help="NPY, IDX, CSV, Parquet or text file.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an earlier output.")
resume_option = click.option(
    "--resume", is_flag=True, help="Go on with what was interrupted; what is whole already stays."
)
output_options = _group(
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output."),
    click.option("--quiet", is_flag=True, help="No progress on standard error."),
)


def asked_for(context: click.Context, *names: str) -> dict[str, Any]:
    """Return the values of those options that were given, and not left at their default."""
    given = click.core.ParameterSource.DEFAULT
    return {name: context.params[name] for name in names if context.get_parameter_source(name) != given}

"""What a run can be asked for, parsed once."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from caescope.analysis.subject import JudgingOptions, parse_judging_options
from caescope.cae import CAE, parse_device, parse_learning_rate
from caescope.errors import OptionError
from caescope.images import is_large
from caescope.model.network import BATCH_SIZE
from caescope.model.options import Options
from caescope.model.precision import parse_precision
from caescope.parsing import parse_integer, parse_seed
from caescope.recipes import parse_recipe

OVERLAY = ("cluster", "error")
FEWEST_EPOCHS = 5
FEWEST_PATIENCE = 10
FEWEST_STEPS = {"small": 5000, "large": 2000}  # fewer, and PCA rebuilds small images better
# What `caescope.model.options.Options` is made of beside the images' shape
NETWORK = tuple(field.name for field in fields(Options) if field.name != "input_shape")


@dataclass(frozen=True)
class RunOptions:
    """Options of `caescope.pipeline.run`; those up to ``precision`` are what `caescope.CAE` and ``fit`` take.

    ``filters=None`` means (8, 16), and (8, 16, 32) for images of at least 64 pixels on their shorter side.
    ``epochs=None`` means 5, or on a small collection as many as make 5,000 steps (2,000 for images
    that large); training then ends before, with its best weights, when validation images have not been
    rebuilt better for ``patience`` epochs, by default a tenth of them and at least 10. Where epochs are
    given, it does so only if patience is, too.
    ``map`` and those after it are `caescope.analysis.subject.JudgingOptions`, but for ``group``, the name of
    the column whose values (slides, patients) are never divided between train and test images;
    ``confounders``, the columns to look for in the latents, or None for all; ``overlay``, the columns of
    latents.parquet that tiles are coloured by on their slides, or None for cluster and error; and ``models``,
    how many autoencoders are trained, each with a seed of its own, to see whether the same clusters come
    back. ``refine`` is how many clusters latents gather in after training, "auto" for the number that a map
    of them shows best, or None to leave them as they are; see `caescope.refining`. ``recipe="best"`` chooses
    what is not given; see `caescope.recipes`.
    """

    latent_features: int | None = 20
    filters: Any = None
    kernel: Any = (3, 3)
    stride: Any = 1
    pool: Any = (2, 2)
    optimizer: str = "adamax"
    lossfn: str = "mse"
    latent_activation: str = "linear"
    architecture: str = "plain"
    objective: str = "reconstruction"
    objective_weight: float | None = None
    views: Any = None
    learning_rate: float | None = None
    epochs: int | None = None
    patience: int | None = None
    batch_size: int = BATCH_SIZE
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    map: str = "tsne"
    perplexity: float = 40
    clusters: int | None = 20
    cluster_method: str = "kmeans"
    stability: int = 5
    group: str | None = None
    confounders: tuple[str, ...] | None = None
    overlay: tuple[str, ...] | None = None
    models: int = 1
    refine: int | str | None = None
    recipe: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the options as plain values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @property
    def judging(self) -> JudgingOptions:
        """Those that judging latents takes."""
        return JudgingOptions(**{field.name: getattr(self, field.name) for field in fields(JudgingOptions)})

    def new_cae(self, input_shape: tuple[int, int, int], path=None) -> CAE:
        """Return an untrained CAE for images of this shape."""
        return CAE(
            input_shape,
            path=path,
            learning_rate=self.learning_rate,
            seed=self.seed,
            device=self.device,
            precision=self.precision,
            **self.network,
        )

    @property
    def network(self) -> dict[str, Any]:
        """Those that make one autoencoder differ from another, as `CAE` takes them."""
        return {name: getattr(self, name) for name in NETWORK}

    def resolve(self, image_shape: tuple[int, int, int], n_images: int) -> "RunOptions":
        """Return the options with the defaults for so many train images of this shape filled in."""
        steps = -(-n_images // self.batch_size)
        large = is_large(image_shape)
        fewest = FEWEST_STEPS["large" if large else "small"]
        epochs = self.epochs or max(FEWEST_EPOCHS, -(-fewest // steps))
        patience = None if self.epochs else max(FEWEST_PATIENCE, epochs // 10)
        return replace(
            self,
            filters=self.filters or ((8, 16, 32) if large else (8, 16)),
            epochs=epochs,
            patience=self.patience or patience,
            precision=parse_precision(self.precision, parse_device(self.device)),
        )


def parse_run_options(options: dict[str, Any]) -> RunOptions:
    """Return options by name as `RunOptions`, checked, but for those that `CAE` checks itself.

    Raises
    ------
    OptionError
        If a name is unknown or a value cannot be used.
    """
    known = [field.name for field in fields(RunOptions)]
    for name in options:
        if name not in known:
            raise OptionError(
                f"An option must be one of {', '.join(known)}", f"{name!r}", "Check the spelling."
            )
    parsed = RunOptions(**options)
    for name in ("batch_size", "models"):
        parse_integer(getattr(parsed, name), name)
    for name in ("epochs", "patience"):
        if getattr(parsed, name) is not None:
            parse_integer(getattr(parsed, name), name)
    if parsed.refine not in (None, "auto"):
        parse_integer(parsed.refine, "refine", 2)
    parse_recipe(parsed.recipe)
    parse_seed(parsed.seed)
    parse_learning_rate(parsed.learning_rate)
    parse_precision(parsed.precision, parse_device(parsed.device))
    parse_judging_options(parsed.judging)
    return replace(parsed, overlay=parsed.overlay or OVERLAY)

"""What makes one autoencoder differ from another, parsed once."""

from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import prod
from typing import Any

from caescope.errors import OptionError
from caescope.model.losses import parse_loss
from caescope.model.objective_options import parse_objective, parse_views_of, parse_weight
from caescope.model.optimizers import parse_optimizer
from caescope.parsing import parse_choice, parse_integer
from caescope.views import Views, name_of

Pair = tuple[int, int]

LATENT_ACTIVATIONS = ("linear", "relu")
ARCHITECTURES = ("plain", "residual")


@dataclass(frozen=True)
class Options:
    """The options of a convolutional autoencoder in their normal form; make it with `parse_options`."""

    filters: tuple[int, ...]
    input_shape: tuple[int, int, int]
    kernel: Pair
    latent_features: int | None
    lossfn: str
    optimizer: str
    pool: Pair
    stride: Pair
    latent_activation: str
    architecture: str
    objective: str
    objective_weight: float | None
    views: Views | None

    @property
    def downsampling(self) -> Pair:
        """How many pixels of one stage's input become one of its output, per axis."""
        return self.stride[0] * self.pool[0], self.stride[1] * self.pool[1]

    @property
    def encoder_stride(self) -> Pair:
        """Of the encoder's convolutions, which make the picture smaller where no pooling follows."""
        return self.stride if self.architecture == "plain" else self.downsampling

    @property
    def encoder_pool(self) -> Pair:
        """What follows the encoder's convolutions; (1, 1) where nothing does."""
        return self.pool if self.architecture == "plain" else (1, 1)

    @property
    def encoder_kernel(self) -> Pair:
        """Of the encoder's convolutions, no smaller than their stride, so that every pixel is seen."""
        tall, wide = (max(k, s) for k, s in zip(self.kernel, self.encoder_stride, strict=True))
        return (tall, wide) if self.architecture == "residual" else self.kernel

    @property
    def padded_shape(self) -> tuple[int, int, int]:
        """Height, width and channels after padding to sizes that every stage divides."""
        height, width, channels = self.input_shape
        step_y, step_x = (step ** len(self.filters) for step in self.downsampling)
        return height + -height % step_y, width + -width % step_x, channels

    @property
    def stage_shape(self) -> tuple[int, int, int]:
        """Height, width and channels after the last stage of the encoder."""
        step_y, step_x = (step ** len(self.filters) for step in self.downsampling)
        return self.padded_shape[0] // step_y, self.padded_shape[1] // step_x, self.filters[-1]

    @property
    def largest_activation(self) -> int:
        """Numbers in the largest picture that a layer of the encoder makes of one image."""
        height, width, channels = self.padded_shape
        sizes = [height * width * channels]
        for filters in self.filters:
            height, width = height // self.encoder_stride[0], width // self.encoder_stride[1]
            sizes.append(height * width * filters)
            height, width = height // self.encoder_pool[0], width // self.encoder_pool[1]
        return max(sizes)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of one image's latents."""
        return self.stage_shape if self.latent_features is None else (self.latent_features,)

    def as_dict(self) -> dict:
        """Return the options as plain Python lists, integers and strings."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        plain["stride"] = self.stride[0] if self.stride[0] == self.stride[1] else list(self.stride)
        plain["views"] = None if self.views is None else name_of(self.views) or self.views.as_dict()
        return plain


def parse_options(
    input_shape: Any = (128, 128, 3),
    latent_features: Any = 512,
    filters: Any = (8, 16, 32),
    kernel: Any = (3, 3),
    stride: Any = 1,
    pool: Any = (2, 2),
    optimizer: Any = "adamax",
    lossfn: Any = "mse",
    latent_activation: Any = "linear",
    architecture: Any = "plain",
    objective: Any = "reconstruction",
    objective_weight: Any = None,
    views: Any = None,
) -> Options:
    """Check every option and bring it into its normal form: ``kernel=3`` becomes ``(3, 3)``.

    Raises
    ------
    OptionError
        Naming the option, what it must be and what came.
    """
    shape, objective = _parse_shape(input_shape), parse_objective(objective)
    options = Options(
        filters=_positive_integers("filters", filters),
        input_shape=shape,
        kernel=_pair("kernel", kernel),
        latent_features=None
        if latent_features is None
        else parse_integer(latent_features, "latent_features"),
        lossfn=parse_loss(lossfn),
        optimizer=parse_optimizer(optimizer),
        pool=_pair("pool", pool),
        stride=_pair("stride", stride),
        latent_activation=parse_choice(
            latent_activation,
            "latent_activation",
            LATENT_ACTIVATIONS,
            'Use "linear", the default: a ReLU there loses variables.',
        ),
        architecture=parse_choice(
            architecture,
            "architecture",
            ARCHITECTURES,
            'Use "plain", the default, or "residual" for better reconstructions in about twice the time.',
        ),
        objective=objective,
        objective_weight=parse_weight(objective_weight, objective),
        views=parse_views_of(objective, views, shape[2]),
    )
    return _check_objective(_check_size(options))


def _parse_shape(shape) -> tuple[int, int, int]:
    sizes = _positive_integers("input_shape", shape)
    if len(sizes) == 3 and sizes[2] in (1, 3):
        return sizes
    raise OptionError(
        "input_shape must be (height, width, channels) with 1 channel (grey) or 3 (RGB)",
        f"input_shape={shape!r}",
        "Use for example X[0].shape of images with channels last.",
    )


def _check_objective(options: Options) -> Options:
    """Refuse an objective that these latents cannot have."""
    if options.objective != "variational":
        return options
    if options.latent_features is not None and options.latent_activation == "linear":
        return options
    raise OptionError(
        'objective="variational" needs a number of latents and latent_activation="linear"',
        f"latent_features={options.latent_features}, latent_activation={options.latent_activation!r}",
        'Use them, or objective="reconstruction".',
    )


def inner_filters(filters: int) -> int:
    """Return how many channels there are between the two convolutions of a residual branch."""
    return (filters + 1) // 2


def _positive_integers(name: str, values) -> tuple[int, ...]:
    try:
        sizes = () if isinstance(values, (str, bytes, Set, Mapping)) else tuple(values)
    except TypeError:
        sizes = ()
    if not sizes:
        raise OptionError(
            f"{name} must be a sequence of positive integers", f"{name}={values!r}", "Use (8, 16)."
        )
    return tuple(parse_integer(size, name) for size in sizes)


def _pair(name: str, value) -> Pair:
    sizes = (value, value) if hasattr(value, "__index__") else value
    sizes = _positive_integers(name, sizes)
    if len(sizes) == 2:
        return sizes
    raise OptionError(
        f"{name} must be one integer or two (vertical, horizontal)",
        f"{name}={value!r}",
        f"Use {name}=(2, 2).",
    )


MAX_WEIGHTS = 2**31
MAX_STAGES = 1000


def _check_size(options: Options) -> Options:
    """Refuse networks that no machine could hold, before any memory is asked for."""
    if len(options.filters) > MAX_STAGES:
        raise OptionError(
            f"filters must be at most {MAX_STAGES:,} numbers", f"{len(options.filters):,}", "Use (8, 16)."
        )
    dense = prod(options.stage_shape) * (options.latent_features or 1)
    channels = pairwise((options.input_shape[2], *options.filters))
    convolutions = [
        max(prod(options.kernel), prod(options.encoder_kernel)) * before * after for before, after in channels
    ]
    if options.architecture == "residual":
        convolutions += [
            prod(options.kernel) * filters * inner_filters(filters) for filters in options.filters
        ]
    largest = max(prod(options.padded_shape), dense, *convolutions)
    if largest <= MAX_WEIGHTS:
        return options
    raise OptionError(
        f"An autoencoder must stay below {MAX_WEIGHTS:,} weights in a layer and pixels in a padded image",
        f"input_shape={options.input_shape}, filters={options.filters}, pool={options.pool}, "
        f"kernel={options.kernel}, latent_features={options.latent_features}",
        "Use fewer latent features, or more stages so that less is left to flatten.",
    )

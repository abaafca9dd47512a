"""Losses by their Keras names."""

from torch.nn import functional as F

from caescope.errors import OptionError


def _binary_crossentropy(prediction, target):
    # Keras keeps predictions this far from 0 and 1, so that the loss stays finite
    return F.binary_cross_entropy(prediction.clamp(1e-7, 1 - 1e-7), target)


LOSSES = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "binary_crossentropy": _binary_crossentropy,
    "huber": F.huber_loss,
}

ALIASES = {
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "bce": "binary_crossentropy",
}


def parse_loss(name) -> str:
    """Return the loss's short name, or raise `OptionError` listing the known ones."""
    short = ALIASES.get(str(name).lower(), str(name).lower())
    if short in LOSSES:
        return short
    raise OptionError(
        f"lossfn must be one of {', '.join(LOSSES)}", f"lossfn={name!r}", 'Use "mse", the default.'
    )

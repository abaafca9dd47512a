"""Latents that show, once decoded, what each variable does."""

import numpy as np

from caescope.analysis.latents import parse_latents
from caescope.errors import OptionError
from caescope.parsing import parse_integer


def sweep_latents(latents, n_steps: int = 7, low: int = 1, high: int = 99, variables=None) -> np.ndarray:
    """Return latents that show, decoded, what each variable does: it moves, the others rest at their medians.

    Parameters
    ----------
    latents : array_like, shape (n_images, ...)
    n_steps : int, at least 2
        Evenly spaced values of the variable that moves.
    low, high : int, 0 to 100
        Its first and last value, as percentiles over the images, the first below the last.
    variables : array_like of int, optional
        Which ones move, from 0; None: all.

    Returns
    -------
    numpy.ndarray, shape (n_variables, n_steps, features), float32
        Convolutional latents are flattened; see `flatten_latents`.

    Raises
    ------
    DataError
        If the latents cannot be used; see `parse_latents`.
    OptionError
        If an option is out of range.

    Examples
    --------
    >>> sweep_latents([[0, 10], [1, 20], [2, 60]], n_steps=3, low=0, high=100)[0].tolist()
    [[0.0, 20.0], [1.0, 20.0], [2.0, 20.0]]
    """
    table, n_steps = parse_latents(latents), parse_integer(n_steps, "n_steps", 2)
    low = parse_integer(low, "low", 0, 99)
    high = parse_integer(high, "high", low + 1, 100)
    moving = _parse_variables(variables, table.shape[1])
    points = np.tile(np.median(table, axis=0), (len(moving), n_steps, 1))
    first, last = np.percentile(table[:, moving], [low, high], axis=0)
    points[np.arange(len(moving)), :, moving] = np.linspace(first, last, n_steps, axis=1)
    return points.astype(np.float32)


def _parse_variables(variables, features: int) -> np.ndarray:
    moving = np.arange(features) if variables is None else np.asarray(variables)
    if moving.ndim != 1 or moving.dtype.kind not in "iu" or not np.isin(moving, np.arange(features)).all():
        raise OptionError(
            f"variables must be integers from 0 to {features - 1}", f"{variables!r}", "Leave it out for all."
        )
    return moving

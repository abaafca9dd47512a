"""What else is known about images, a column at a time: of which kind it is, and where it is missing."""

from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata

from caescope.errors import DataError
from caescope.metrics import encode_labels
from caescope.parsing import is_missing

MOST_INTEGERS = 50  # more different whole numbers are a quantity, not names
FEWEST = 5  # images of a value, so that each of five folds can have one


class Column(NamedTuple):
    """A column in its normal form.

    Attributes
    ----------
    kind : str
        "category" or "number".
    codes : numpy.ndarray, shape (n_images,), int64
        A category as a position in ``names``; of a number its quarter by rank, 0 to 3; -1 where missing.
    names : list
        The different values, sorted.
    numbers : numpy.ndarray, shape (n_images,), float64, or None
        None for a category; NaN where missing.
    """

    kind: str
    codes: np.ndarray
    names: list
    numbers: np.ndarray | None = None

    @property
    def known(self) -> np.ndarray:
        """Where the column is not missing, shape (n_images,), bool."""
        return self.codes >= 0


def parse_category(values, n_images: int, name: str = "values") -> Column:
    """Return a column, of numbers too, as categories.

    Parameters
    ----------
    values : array_like, shape (n_images,)
        Missing where it is None, NaN or masked.
    n_images : int
    name : str
        What error messages call it.

    Raises
    ------
    DataError
        If it does not hold one value for each image.

    Examples
    --------
    >>> parse_category(["a", None, "b", "a"], 4).codes
    array([ 0, -1,  1,  0])
    """
    array, known = _parse_row(values, n_images, name)
    codes, names = encode_labels(array[known], name)
    return Column("category", _spread(codes, known, -1), names)


def parse_column(values, n_images: int, name: str = "values") -> Column:
    """Return a column as categories or numbers, whichever it holds.

    Strings and booleans are categories, and so are whole numbers of at most 50 different values; all other
    numbers are numbers.

    Parameters
    ----------
    values, n_images, name
        As in `parse_category`.

    Raises
    ------
    DataError
        As `parse_category`, or if a number is infinite.

    Examples
    --------
    >>> parse_column([0.1, 0.2, float("nan"), 0.4, 0.8], 5)[:2]
    ('number', array([ 0, 1, -1, 2, 3]))
    """
    column = parse_category(values, n_images, name)
    if not column.names or not all(map(_is_number, column.names)):
        return column
    numbers = np.array(column.names, np.float64)
    if not np.isfinite(numbers).all():
        raise DataError(f"{name} must be finite", "infinite values", "Leave them out: None, NaN or masked.")
    if len(numbers) <= MOST_INTEGERS and (numbers == np.round(numbers)).all():
        return column
    known = column.known
    row = numbers[column.codes[known]]
    return Column("number", _spread(_quarters(row), known, -1), column.names, _spread(row, known, np.nan))


def why_useless(column: Column) -> str | None:
    """Say why nothing can be learnt from a column, for example that it is the same for every image.

    >>> why_useless(parse_column(["a", "a"], 2)), why_useless(parse_column(["a", "b"], 2))
    ('the same for every image', 'different for every image')
    """
    codes = column.codes[column.known]
    if not len(codes):
        return "missing for every image"
    if len(column.names) == 1:
        return "the same for every image"
    if column.kind == "number":
        return f"known for fewer than {2 * FEWEST} images" if len(codes) < 2 * FEWEST else None
    if len(column.names) == len(codes):
        return "different for every image"
    common = (np.bincount(codes) >= FEWEST).sum()
    return f"without two values that have {FEWEST} images each" if common < 2 else None


def _spread(values: np.ndarray, known: np.ndarray, missing: float) -> np.ndarray:
    """Return an array of all images that holds ``values`` where known."""
    spread = np.full(len(known), missing, values.dtype)
    spread[known] = values
    return spread


def _parse_row(values: Any, n_images: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return values as an array of shape (n_images,), and where they are known."""
    try:
        # Left to itself, NumPy would turn [nan, "cat"] into two strings
        array = np.asarray(values, None if isinstance(values, np.ndarray) else object)
    except ValueError:
        array = np.empty((0, 0))
    if array.shape != (n_images,):
        raise DataError(
            f"{name} must hold one value for each image",
            f"an array of shape {array.shape} for {n_images} images",
            "Give both for the same images, in the same order.",
        )
    known = ~np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else np.ones(n_images, bool)
    if array.dtype.kind in "Of":
        row = (value.item() if isinstance(value, np.generic) else value for value in array.tolist())
        known = known & ~np.fromiter(map(is_missing, row), bool, n_images)
    return array, known


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _quarters(numbers: np.ndarray) -> np.ndarray:
    """Return the quarter of each number by its mean rank: equal numbers are together, 0 to 3."""
    return (4 * (rankdata(numbers) - 0.5) / len(numbers)).astype(np.int64)

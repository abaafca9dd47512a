"""Tables of counts as heat maps: colour is the share of the row, text is the count."""

import numpy as np
from matplotlib.axes import Axes

from caescope.errors import DataError
from caescope.plots.style import (
    DARK,
    FAINT,
    as_numbers,
    axes_or_new,
    caption,
    name_ticks,
    root_figure,
    styled,
)

MOST_COLUMNS, MOST_ROWS = 15, 40  # beyond these, counts would not be legible


@styled
def plot_confusion(matrix, classes, ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix: rows are the true labels, columns what was predicted.

    Parameters
    ----------
    matrix : array_like, shape (n_classes, n_classes)
        Counts, at least 0. Colour is the share of the row; counts are written for up to 15 classes.
    classes : sequence, length n_classes
        Labels in the order of rows and columns.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If the matrix is not square, not of counts, or ``classes`` has another length.

    Examples
    --------
    >>> ax = plot_confusion([[8, 2], [0, 10]], ["no", "yes"])
    >>> [text.get_text() for text in ax.texts]
    ['8', '2', '0', '10']
    """
    classes = list(classes)
    counts = parse_counts(matrix, classes, classes, "matrix", "classes", "classes")
    return draw_heatmap(counts, classes, classes, ("true label", "predicted label"), ax)


def draw_heatmap(counts: np.ndarray, rows, columns, names: tuple[str, str], ax: Axes | None) -> Axes:
    """Draw ``counts``, shape (n_rows, n_columns), coloured by share of the row; ``names`` of both axes."""
    row_names, column_names = [caption(row, 24) for row in rows], [caption(column, 24) for column in columns]
    ax = axes_or_new(ax, *_figure_size(row_names, column_names))
    image = ax.imshow(_row_shares(counts), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    name_ticks(ax.yaxis, row_names)
    name_ticks(ax.xaxis, column_names, **_tick_text(column_names))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set(ylabel=names[0], xlabel=names[1])
    bar = root_figure(ax).colorbar(
        image, ax=ax, label="share of the row", shrink=0.8, aspect=25, format="{x:.0%}"
    )
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    if counts.shape[0] <= MOST_ROWS and counts.shape[1] <= MOST_COLUMNS:
        _write_counts(ax, counts)
    return ax


def parse_counts(
    table, rows: list, columns: list, name: str, rows_name: str, columns_name: str
) -> np.ndarray:
    """Return ``table`` as an array of shape (len(rows), len(columns)) of finite numbers, at least 0."""
    counts = as_numbers(table, name)
    if counts.shape != (len(rows), len(columns)) or counts.size == 0:
        raise DataError(
            f"{name} must have one row for each of {rows_name} and one column for each of {columns_name}",
            f"shape {counts.shape} with {len(rows)} and {len(columns)} names",
            "Name every row and column, in order.",
        )
    if not np.isfinite(counts).all() or counts.min() < 0:
        raise DataError(
            f"{name} must hold counts, at least 0",
            f"values from {counts.min():g} to {counts.max():g}",
            "Count again.",
        )
    return counts


def _row_shares(counts: np.ndarray) -> np.ndarray:
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)


def _figure_size(rows: list[str], columns: list[str]) -> tuple[float, float]:
    """Return inches that leave each cell room for its count, within a page."""
    width = 2.2 + 0.07 * max(map(len, rows)) + 0.48 * len(columns)
    height = 1.0 + 0.05 * max(map(len, columns)) + 0.32 * len(rows)
    return float(np.clip(width, 4, 10)), float(np.clip(height, 2.5, 10))


def _tick_text(columns: list[str]) -> dict:
    """Turn the columns' names where they would run into each other."""
    level = max(map(len, columns)) <= 5 and len(columns) <= MOST_COLUMNS
    return {} if level else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}


def _write_counts(ax: Axes, counts: np.ndarray) -> None:
    shares = _row_shares(counts)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.55 else DARK if count else FAINT
        ax.text(column, row, short_count(count), ha="center", va="center", color=color, fontsize=8)


def short_count(count: float) -> str:
    """Return a count in at most six characters.

    >>> [short_count(count) for count in (7, 25190, 251904, 1.2e6, 0.25)]
    ['7', '25,190', '252k', '1.2M', '0.25']
    """
    if count != round(count):
        return f"{count:.2g}"
    if count < 100_000:
        return f"{count:,.0f}"
    return f"{count / 1e3:.0f}k" if count < 999_500 else f"{count / 1e6:.2g}M"

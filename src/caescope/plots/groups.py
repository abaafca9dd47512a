"""How whole groups of images, such as slides, spread over the clusters."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from caescope.errors import DataError
from caescope.plots.heatmaps import parse_counts
from caescope.plots.style import DARK, axes_or_new, caption, name_ticks, root_figure, styled


@styled
def plot_group_clusters(
    shares,
    groups: Sequence[Any],
    clusters: Sequence[Any],
    labels: Sequence[Any] | None = None,
    ax: Axes | None = None,
    name: str = "group",
) -> Axes:
    """Draw which share of each group's images is in each cluster: a row for each group, in the order given.

    Parameters
    ----------
    shares : array_like, shape (n_groups, n_clusters), in [0, 1]
        As `caescope.analysis.aggregating.aggregate` returns them. Dark is the largest share that occurs.
    groups, clusters : sequence
        Names of rows and columns.
    labels : sequence, length n_groups, optional
        The label of each group: a line parts rows of different labels, which are named at the right. Rows of
        one label should follow one another.
    ax : matplotlib.axes.Axes, optional
        Where to draw; None makes a new figure.
    name : str
        What a group is called.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    DataError
        If the shapes do not fit together, or a share is outside [0, 1].

    Examples
    --------
    >>> ax = plot_group_clusters([[1, 0], [0.5, 0.5]], ["s1", "s2"], [0, 1], ["benign", "malignant"])
    >>> [text.get_text() for text in ax.get_yticklabels()], [text.get_text() for text in ax.texts]
    (['s1', 's2'], ['benign', 'malignant'])
    """
    groups, clusters = list(groups), list(clusters)
    table = _parse_shares(shares, groups, clusters)
    rows, columns = [caption(group, 24) for group in groups], [caption(cluster, 12) for cluster in clusters]
    width = 3.2 + 0.07 * max(map(len, rows)) + 0.3 * len(columns)
    ax = axes_or_new(ax, float(np.clip(width, 4.5, 9)), float(np.clip(1.2 + 0.24 * len(rows), 2.2, 10.5)))
    image = ax.imshow(table, cmap="Blues", vmin=0, vmax=max(table.max(), 0.01), aspect="auto")
    name_ticks(ax.yaxis, rows)
    name_ticks(ax.xaxis, columns, most=25, rotation=0 if max(map(len, columns)) <= 2 else 45)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set(xlabel="cluster", ylabel=caption(name))
    if labels is not None:
        _name_labels(ax, list(labels), len(groups))
    bar = root_figure(ax).colorbar(
        image, ax=ax, label="share of the images", shrink=0.8, aspect=25, format="{x:.0%}"
    )
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    return ax


def _parse_shares(shares, groups: list, clusters: list) -> np.ndarray:
    table = parse_counts(shares, groups, clusters, "shares", "groups", "clusters")
    if table.max() > 1 + 1e-6:
        raise DataError("shares must be at most 1", f"{table.max():g}", "Divide counts by each row's sum.")
    return table


def _name_labels(ax: Axes, labels: list, n_groups: int) -> None:
    """Part the rows where the label changes, and name each part at the right."""
    if len(labels) != n_groups:
        raise DataError(
            "labels must hold one for each group", f"{len(labels)} for {n_groups} groups", "Give all of them."
        )
    start = 0
    for label, rows in groupby(labels):
        stop = start + len(list(rows))
        if start:
            ax.axhline(start - 0.5, color=DARK, linewidth=1)
        place = (start + stop - 1) / 2
        text = caption("–" if label is None else label, 18)
        ax.text(1.02, place, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8.5)
        start = stop

"""Where figures are written."""

from pathlib import Path

from caescope import plots


def save_png(folder: Path, name: str, figure) -> None:
    """Write a figure as ``name.png`` into a folder, and close it."""
    plots.save_figure(figure, folder / f"{name}.png")

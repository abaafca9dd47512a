"""Writing a figure to a file, all or nothing."""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from caescope.errors import OptionError
from caescope.plots.style import quiet_glyphs, root_figure
from caescope.writing import replacing

# What each format would write about when and by which version it was made, switched off.
METADATA = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def save_figure(figure, path, dpi: int = 110) -> Path:
    """Write a figure to ``path`` and close it; the same picture gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure, matplotlib.axes.Axes or array of Axes
        What a ``plot_`` function returned.
    path : str or os.PathLike
        Ends in .png, .svg or .pdf; its folder exists. A file that is there is replaced as a whole.
    dpi : int
        Pixels per inch.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    OptionError
        If the ending is unknown or the folder does not exist.
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from caescope.plots import plot_gini
    >>> with TemporaryDirectory() as folder:
    ...     save_figure(plot_gini({0: 0.1, 1: 0.3}), f"{folder}/gini.png").name
    'gini.png'
    """
    path = _parse_path(path)
    root = figure if isinstance(figure, Figure) else root_figure(_first_axes(figure))
    suffix = path.suffix.lower()
    try:
        with replacing(path) as part, mpl.rc_context({"svg.hashsalt": "caescope"}), quiet_glyphs():
            root.savefig(part, format=suffix[1:], dpi=dpi, bbox_inches="tight", metadata=METADATA[suffix])
            if suffix == ".png":
                _shrink(part, dpi, _holds_photograph(root))
    finally:
        plt.close(root)
    return path


def _shrink(path: Path, dpi: int, is_photograph: bool) -> None:
    """Write a PNG anew in a third of its bytes: as grey, or with a palette where it holds no photograph.

    A palette of 256 colours changes a map's mixed colours by less than can be seen; photographs keep theirs.
    """
    with Image.open(path) as image:
        pixels = image.convert("RGB")
    channels = np.asarray(pixels)
    if (channels == channels[..., :1]).all():
        pixels = pixels.convert("L")
    elif not is_photograph:
        pixels = pixels.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    pixels.save(path, "PNG", dpi=(dpi, dpi), optimize=True)


def _holds_photograph(root: Figure) -> bool:
    """Tell whether any picture in a figure has colours of its own, and not those of a colour map."""
    return any(np.asarray(image.get_array()).ndim == 3 for ax in root.axes for image in ax.images)


def _first_axes(axes) -> Axes:
    return np.ravel(np.asarray(axes, dtype=object))[0]


def _parse_path(path) -> Path:
    path = Path(path)
    if path.suffix.lower() not in METADATA:
        raise OptionError(
            f"A figure's file must end in one of {', '.join(METADATA)}", f"path={str(path)!r}", "Use .png."
        )
    if not path.parent.is_dir():
        raise OptionError(
            "The folder of a figure's file must exist",
            f"path={str(path)!r}",
            f"Make the folder {path.parent} first.",
        )
    return path

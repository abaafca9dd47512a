"""The HDF5 files that models of whole slides read."""

import os
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np

from caescope.exporting.tiles import file_names, one_size, parse_tiles
from caescope.table import LatentTable
from caescope.writing import write_atomically


def write_features(table: LatentTable, folder: str | os.PathLike) -> list[Path]:
    """Write one HDF5 file for each slide, as CLAM and TRIDENT lay them out.

    Each holds ``features``, float32, shape (n_tiles, latent_features), and ``coords``, int64, shape
    (n_tiles, 2): the tiles' top left corners in pixels of level 0, x first. The attribute
    ``patch_size_level0`` of ``coords`` is the tiles' side in such pixels, rounded; ``name`` is the slide.

    Parameters
    ----------
    table : LatentTable
        Its rows are tiles: it has the columns ``slide``, ``x``, ``y`` and ``size``.
    folder : path-like
        Where the files ``<slide>.h5`` go, each as a whole; those that are there are replaced.

    Returns
    -------
    list of pathlib.Path
        The files written. Nothing is written before the tiles of all slides are known to be usable.

    Raises
    ------
    DataError
        If the table has no tiles, a slide has tiles of several sizes, or two slides would share a file.

    References
    ----------
    Lu et al., "Data-efficient and weakly supervised computational pathology on whole-slide images", Nature
    Biomedical Engineering 5, 2021 (CLAM). https://github.com/mahmoodlab/TRIDENT.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> place = {"x": np.array([0]), "y": np.array([8]), "size": np.array([8])}
    >>> table = LatentTable(np.array(["0"]), np.ones((1, 4)), columns={"slide": np.array(["a.svs"]), **place})
    >>> with TemporaryDirectory() as folder:
    ...     with h5py.File(write_features(table, folder)[0]) as file:
    ...         file["features"].shape, file["coords"][:].tolist()
    ((1, 4), [[0, 8]])
    """
    tiles = parse_tiles(table)
    places = tiles.rows_by_slide()
    sizes = [one_size(tiles, rows) for rows in places.values()]
    files = [Path(folder) / f"{name}.h5" for name in file_names(list(places))]
    for file, size, (slide, rows) in zip(files, sizes, places.items(), strict=True):
        corners = np.rint(np.stack([tiles.x[rows], tiles.y[rows]], axis=1)).astype(np.int64)
        attributes = {"patch_size_level0": max(1, round(size)), "name": slide}
        write_atomically(file, _format(table.latents[rows], corners, attributes))
    return files


def _format(features: np.ndarray, coords: np.ndarray, attributes: dict[str, int | str]) -> bytes:
    buffer = BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("features", data=features.astype(np.float32))
        file.create_dataset("coords", data=coords).attrs.update(attributes)
    return buffer.getvalue()

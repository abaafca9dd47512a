"""What slides are asked for besides latents: a plan of their tiles, the tiles, and other formats."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from caescope.errors import DataError, OptionError
from caescope.figures.overlays import draw_plan
from caescope.parallel import blocks_of, map_in_order
from caescope.progress import Stages
from caescope.run_folder import read_run
from caescope.source_options import parse_source_options
from caescope.staging import OutputFolder
from caescope.table import read_latents

TILES_AT_A_TIME = 32
FORMATS = ("geojson", "h5ad", "features")


def tile(
    slides: str | os.PathLike,
    out: str | os.PathLike,
    *,
    save: bool = False,
    overwrite: bool = False,
    verbose: int | str = "auto",
    **options: Any,
) -> Path:
    """Plan the tiles of slides, and write the plan with a picture of it for each slide.

    Parameters
    ----------
    slides : path-like
        A slide, or a folder of them.
    out : path-like
        A new folder: ``tiles.parquet``, one row for each tile, ``plan_00.png``, … and with ``save``
        ``tiles/<slide>/<x>_<y>.png``, to which the column ``path`` of the table leads: it is a source then.
    save : bool
        Whether the tiles are written, too.
    overwrite, verbose
        As in `caescope.pipeline.run`.
    **options
        As in `caescope.source_options.SourceOptions`.

    Returns
    -------
    pathlib.Path
        The table.

    Raises
    ------
    DataError, FileFormatError, OptionError
        If there is no slide or no tile, a slide cannot be used, or an option is wrong; nothing is written
        then.
    """
    folder, where = OutputFolder(out, overwrite, mark="tiles.parquet"), parse_source_options(options)
    stages = Stages(verbose)
    with stages.stage("plan", str(slides)):
        source = where.find_tiles(slides)
    for name, reason in source.skipped:
        stages.say(f"left out: {name}: {reason}")
    columns: dict[str, Any] = {"id": source.ids, **_filled(source.columns)}
    with folder.staged() as partial:
        for i, planned in enumerate(source.slides):
            draw_plan(partial / f"plan_{i:02d}.png", planned)
        if save:
            with stages.stage("tiles", f"{len(source):,} tiles of {source.shape[0]} pixels"):
                columns = {"path": _save_tiles(source, partial)} | columns
                del columns["id"]
        pq.write_table(pa.table(columns), partial / "tiles.parquet")
    return folder.path / "tiles.parquet"


def export(
    latents: str | os.PathLike,
    out: str | os.PathLike,
    to: str = "geojson",
    *,
    value: str = "cluster",
    dissolve: bool = False,
) -> list[Path]:
    """Write latents, whose rows are tiles, in the format of another program.

    Parameters
    ----------
    latents : path-like
        A run folder, or a Parquet file.
    out : path-like
        Of GeoJSON a folder, or for a single slide a file that ends in ``.geojson``; of h5ad the file; of
        features a folder.
    to : {"geojson", "h5ad", "features"}
        For QuPath; for scanpy and squidpy; for slide-level models.
    value : str
        What GeoJSON is coloured by: "cluster", "label" or another column.
    dissolve : bool
        Whether tiles of one cluster that touch become one annotation.

    Returns
    -------
    list of pathlib.Path
        The files written.

    Raises
    ------
    DataError, FileFormatError, OptionError
        If the table has no tiles, or an option cannot be used.
    """
    from caescope.exporting import write_features, write_geojson, write_h5ad

    path = Path(latents)
    table = read_latents(read_run(path).path / "latents.parquet" if path.is_dir() else path)
    if to == "geojson":
        return write_geojson(table, out, value, dissolve)
    if to == "h5ad":
        return [write_h5ad(table, out)]
    if to == "features":
        return write_features(table, out)
    raise OptionError(f"The format must be one of {', '.join(FORMATS)}", repr(to), "geojson is the default.")


def _filled(columns: Any) -> dict[str, pa.Array]:
    return {name: pa.array(np.ma.getdata(v), mask=np.ma.getmaskarray(v)) for name, v in columns.items()}


def _save_tiles(source: Any, folder: Path) -> list[str]:
    """Write every tile as PNG, and return their paths below ``folder``."""
    paths = [f"tiles/{name}.png" for name in source.ids.tolist()]
    if any(".." in Path(path).parts for path in paths):
        raise DataError("Names of slides must stay in the folder", "'..' among them", "Rename the slide.")
    for path in {str(Path(path).parent) for path in paths}:
        (folder / path).mkdir(parents=True)

    def save_block(rows: slice) -> None:
        for path, pixels in zip(paths[rows], source.read(rows), strict=True):
            Image.fromarray(pixels).save(folder / path)

    for _ in map_in_order(save_block, blocks_of(len(source), TILES_AT_A_TIME)):
        pass
    return paths

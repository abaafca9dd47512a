"""The report of a run: one HTML file that opens offline, made from the run folder and nothing else."""

import os
from functools import cache
from pathlib import Path

from jinja2 import ChainableUndefined, Environment, PackageLoader
from markupsafe import Markup

from caescope.explorer.notes import cluster_names
from caescope.report.formatting import FILTERS
from caescope.report.live_map import digest_of, live_map_of, live_script
from caescope.report.reading import read_content, read_table
from caescope.report.rows import (
    AVERAGES,
    best_probe,
    chance_of,
    cluster_rows,
    column_maps,
    overlays,
    probe_rows,
)
from caescope.report.summary import summarise
from caescope.writing import write_atomically

__all__ = ["write_report"]


def write_report(run: str | os.PathLike) -> Path:
    """Write ``report.html`` into a run folder: figures, style and one script inside, no network.

    Parameters
    ----------
    run : path-like
        A run folder with ``metrics.json``, ``run.yaml``, ``latents.parquet`` and ``figures/*.png``. Sections
        whose figures and numbers are absent are left out. Clusters have the names of ``notes.json``.

    Returns
    -------
    pathlib.Path
        The file written, ``run/report.html``. The same run folder gives the same bytes.

    Raises
    ------
    FileFormatError
        If ``metrics.json`` or ``run.yaml`` is missing, or a file is damaged; nothing is written then.

    Examples
    --------
    >>> write_report("no-such-folder")
    Traceback (most recent call last):
    caescope.errors.FileFormatError: RUN must be a run folder. Received no-such-folder, which has no ...
    """
    metrics, facts, figures = read_content(Path(run))
    table = read_table(Path(run))
    names = {} if table is None else cluster_names(Path(run), table.clusters)
    script = live_script()
    page = _environment().get_template("report.html")
    text = page.render(
        metrics=metrics,
        run=facts,
        figures=figures,
        summary=summarise(metrics, facts),
        chance=chance_of(metrics),
        best=best_probe(metrics.get("probe", {})),
        probes=probe_rows(metrics),
        clusters=cluster_rows(metrics, figures, names),
        column_maps=column_maps(metrics, figures),
        overlays=overlays(figures, facts.get("options", {})),
        live_map=live_map_of(table, names),
        live_script=Markup(script),
        live_digest=digest_of(script),
    )
    path = Path(run) / "report.html"
    write_atomically(path, text.encode())
    return path


@cache
def _environment() -> Environment:
    loader = PackageLoader("caescope.report", ".")
    environment = Environment(
        loader=loader, autoescape=True, undefined=ChainableUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["averages"] = AVERAGES
    environment.filters |= FILTERS
    return environment

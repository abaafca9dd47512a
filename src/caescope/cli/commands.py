"""One thin command for each verb. Modules that need PyTorch are imported when a command runs."""

from pathlib import Path

import click

from caescope.cli.output import print_json, print_paths, print_run
from caescope.cli.parameters import (
    IN,
    IN_OR_URL,
    OUT,
    OUT_OR_URL,
    asked_for,
    device_option,
    encode_precision_option,
    judging_options,
    labels_option,
    models_option,
    output_options,
    overwrite_option,
    recipe_option,
    refine_option,
    resume_option,
    seed_option,
    source_options,
    tile_options,
    training_options,
    workers_options,
)
from caescope.cli.stopping import describe_stop, number_of, terminable
from caescope.errors import CaescopeError


class Group(click.Group):
    """Says in one sentence what was wrong with the input, and exits with 1; or with 128 and a signal."""

    def invoke(self, ctx: click.Context):
        try:
            with terminable():
                return super().invoke(ctx)
        except (CaescopeError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            click.echo(f"caescope: {error}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt as stop:
            click.echo(f"caescope: {describe_stop(stop)}", err=True)
            ctx.exit(128 + number_of(stop))


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="caescope", message="caescope %(version)s")
def main():
    """See what is in an image collection that nobody labelled.

    \b
    Example:
      caescope demo
      caescope run photos/ --out runs/photos
    """


@main.command()
@click.option("--out", type=OUT, default="demo", show_default=True, help="The run folder.")
@click.option(
    "--data",
    type=click.Choice(["digits", "tissue"]),
    default="digits",
    show_default=True,
    help="Handwritten digits, or tiles of a stained section.",
)
@overwrite_option
@seed_option
@device_option
@output_options
def demo(out: Path, data: str, overwrite: bool, seed: int, device: str, as_json: bool, quiet: bool):
    """Run the whole job on images that come with the dependencies.

    1,797 labelled digits of scikit-learn, or 1,024 tiles of a stained section of scikit-image.

    \b
    Example:
      caescope demo --out demo
      caescope demo --data tissue --out tissue
    """
    from caescope.pipeline import run

    k = {"digits": 20, "tissue": 5}[data]
    options = {"overwrite": overwrite, "verbose": _verbose(quiet), "seed": seed, "device": device}
    result = run(data, out, clusters=k, **options)
    print_run(result, as_json)


@main.command()
@click.argument("source")
@click.option("--out", type=OUT, required=True, help="The run folder.")
@labels_option
@source_options
@training_options
@judging_options
@models_option
@refine_option
@recipe_option
@seed_option
@device_option
@overwrite_option
@resume_option
@output_options
@click.pass_context
def run(context, source: str, out: Path, labels: Path | None, as_json: bool, quiet: bool, **options):
    """Train on SOURCE, judge the latents, write a run folder.

    SOURCE is a folder of images, a CSV or Parquet table with a column path, an IDX, NPY, NPZ or HDF5 file, a
    MNIST pickle, a slide or a folder of slides, or the name digits or mnist.

    \b
    Example:
      caescope run mnist.pkl.gz --out runs/mnist --latent-features 20 --filters 8,16 --epochs 5
      caescope run mnist.pkl.gz --out runs/best --recipe best
      caescope run slides/ --out runs/slides --magnification 2.5 --labels slides.csv
    """
    from caescope.pipeline import run

    given = asked_for(context, *options)  # what is not given is a recipe's to choose
    result = run(source, out, labels=labels, verbose=_verbose(quiet), **given)
    print_run(result, as_json)


@main.command()
@click.argument("source")
@click.option("--out", type=OUT_OR_URL, required=True, help="The model folder.")
@click.option("--log-dir", type=OUT, help="Folder for TensorBoard's event files.")
@source_options
@training_options
@refine_option
@recipe_option
@seed_option
@device_option
@workers_options
@overwrite_option
@resume_option
@output_options
@click.pass_context
def fit(context, source: str, out: Path, log_dir: Path | None, as_json: bool, quiet: bool, **options):
    """Train on SOURCE and write a model folder.

    \b
    Example:
      caescope fit mnist.pkl.gz --out models/mnist --latent-features 20
      caescope fit slides/ --out models/slides --workers 8 --address ray://head:10001 --gpus-per-worker 1
    """
    from caescope.pipeline import fit

    given = asked_for(context, *options)  # what is not given is a recipe's to choose
    fit(source, out, verbose=_verbose(quiet), log_dir=log_dir, **given)
    print_paths({"model": out}, as_json)


@main.command()
@click.argument("model", type=IN_OR_URL)
@click.argument("source")
@click.option(
    "--out", type=OUT_OR_URL, required=True, help="The Parquet file; with workers, a folder of parts."
)
@labels_option
@source_options
@device_option
@encode_precision_option
@workers_options
@overwrite_option
@output_options
def encode(model, source, out, labels, device, overwrite, as_json, quiet, **options):
    """Write latents and reconstruction errors of SOURCE's images.

    \b
    Example:
      caescope encode models/mnist mnist.pkl.gz --out latents.parquet
      caescope encode models/slides slides/ --out latents.parquet --precision auto
      caescope encode models/slides slides/ --out latents.parquet --workers 8 --address ray://head:10001
    """
    from caescope.pipeline import encode

    options |= {"labels": labels, "device": device, "overwrite": overwrite, "verbose": _verbose(quiet)}
    encode(model, source, out, **options)
    print_paths({"latents": out}, as_json)


@main.command()
@click.argument("slides", type=IN_OR_URL)
@click.option("--out", type=OUT, required=True, help="The folder.")
@click.option("--save", is_flag=True, help="Write the tiles, too, as PNG files.")
@click.option("--skip-unreadable", is_flag=True, help="Leave out slides that cannot be used.")
@tile_options
@overwrite_option
@output_options
def tile(slides: Path, out: Path, save: bool, overwrite: bool, as_json: bool, quiet: bool, **options):
    """Plan the tiles of SLIDES, a slide or a folder of them, and draw the plan.

    \b
    Example:
      caescope tile slides/ --out plan --magnification 2.5 --tile-size 128
    """
    from caescope.slide_jobs import tile

    options["skip_unreadable"] = float(options["skip_unreadable"])
    table = tile(slides, out, save=save, overwrite=overwrite, verbose=_verbose(quiet), **options)
    print_paths({"tiles": table}, as_json)


@main.command()
@click.argument("latents", type=IN)
@click.option(
    "--to",
    type=click.Choice(["geojson", "h5ad", "features"]),
    default="geojson",
    show_default=True,
    help="For QuPath, for scanpy and squidpy, or for slide-level models.",
)
@click.option("--out", type=OUT, required=True, help="The file, or a folder with a file for each slide.")
@click.option("--value", default="cluster", show_default=True, help="Column that GeoJSON is coloured by.")
@click.option("--dissolve", is_flag=True, help="Join the tiles of a cluster that touch.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
def export(latents: Path, to: str, out: Path, value: str, dissolve: bool, as_json: bool):
    """Write LATENTS, a run folder or a Parquet file of tiles, for QuPath, scanpy or slide-level models.

    \b
    Example:
      caescope export runs/slides --to geojson --out clusters --dissolve
    """
    from caescope.slide_jobs import export

    paths = export(latents, out, to, value=value, dissolve=dissolve)
    print_paths({path.name: path for path in paths}, as_json)


@main.command()
@click.argument("latents", type=IN_OR_URL)
@click.option("--out", type=OUT, help="The run folder.  [default: RUN itself, or FILE-analysis]")
@click.option("--labels", help="Column of the table, or a file as for run.")
@click.option(
    "--sample", type=int, metavar="N", help="Images of a folder of parts to judge.  [default: 100000]"
)
@judging_options
@seed_option
@workers_options
@overwrite_option
@resume_option
@output_options
@click.pass_context
def analyze(context, latents, out, labels, overwrite, as_json, quiet, **options):
    """Judge LATENTS, whoever made them: a Parquet or NPY file, a folder of parts, or a run folder.

    Writes probes, maps, clusters, how far to trust them, figures and a report. Options that are not given are
    those of the run folder. Of a folder of parts a sample is judged, and all images are assigned to its map
    and clusters, by several workers if you like.

    \b
    Example:
      caescope analyze runs/mnist --clusters 12
      caescope analyze latents.parquet --labels label --group slide
      caescope analyze parts.parquet --out runs/archive --sample 100000 --workers 8
    """
    from caescope.pipeline import analyze

    given = asked_for(context, *options)
    result = analyze(latents, out, labels=labels, overwrite=overwrite, verbose=_verbose(quiet), **given)
    print_run(result, as_json)


@main.command()
@click.argument("run", type=IN)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
def report(run: Path, as_json: bool):
    """Write report.html of a run folder anew.

    \b
    Example:
      caescope report runs/mnist
    """
    from caescope.report import write_report

    print_paths({"report": write_report(run)}, as_json)


@main.command()
@click.argument("run", type=IN)
@click.option("--port", type=int, default=8265, show_default=True, help="Or the next free one; 0 is any.")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets others in, by a token.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--export", "folder", type=OUT, help="Write files for any web server here, and serve nothing.")
@overwrite_option
def explore(run: Path, port: int, host: str, no_browser: bool, folder: Path | None, overwrite: bool):
    """Look at a run folder image by image, in a browser.

    RUN is a run folder, or a Parquet file with a map whose ids are paths of images.

    \b
    Example:
      caescope explore runs/mnist
      caescope explore runs/mnist --export mnist-page
    """
    from caescope.explorer import export, open_collection, serve
    from caescope.progress import Stages

    with Stages().stage("open", str(run)):
        collection = open_collection(run)
    if folder is None:
        serve(collection, host, port, not no_browser, click.echo)
    else:
        print_paths({"page": export(collection, folder, overwrite=overwrite) / "index.html"}, False)


@main.command()
@click.argument("model", type=IN_OR_URL)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
def inspect(model: Path, as_json: bool):
    """Show the options and layers of a model folder.

    \b
    Example:
      caescope inspect models/mnist
    """
    from caescope.cae import CAE

    cae = CAE(path=model, load=True, device="cpu")
    if as_json:
        print_json({**cae.options.as_dict(), "weights": cae.model.count_params()})
        return
    for name, value in cae.options.as_dict().items():
        click.echo(f"{name}: {value}")
    cae.encoder.summary()
    cae.decoder.summary()


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
@click.option("--address", metavar="ray://HOST:PORT", help="Of the cluster to ask.  [default: RAY_ADDRESS]")
def doctor(as_json: bool, address: str | None):
    """Show this machine's versions, processors, GPU and extras, and the cluster that workers would be on.

    \b
    Example:
      caescope doctor
      caescope doctor --address ray://head:10001
    """
    from caescope.cli.doctor import examine

    facts = examine(address)
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        click.echo(f"{name}: {value}")


def _verbose(quiet: bool) -> int | str:
    return 0 if quiet else "auto"

"""One thin command for each verb. Modules that need PyTorch are imported when a command runs."""

from pathlib import Path

import click

from caescope.cli.output import print_json, print_paths, print_run
from caescope.cli.parameters import (
    IN,
    OUT,
    asked_for,
    device_option,
    judging_options,
    labels_option,
    models_option,
    output_options,
    overwrite_option,
    seed_option,
    training_options,
)
from caescope.errors import CaescopeError


class Group(click.Group):
    """Says in one sentence what was wrong with the input, and exits with 1."""

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except (CaescopeError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            click.echo(f"caescope: {error}", err=True)
            ctx.exit(1)


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
@overwrite_option
@seed_option
@device_option
@output_options
def demo(out: Path, overwrite: bool, seed: int, device: str, as_json: bool, quiet: bool):
    """Run the whole job on 1,797 digits of scikit-learn.

    \b
    Example:
      caescope demo --out demo
    """
    from caescope.pipeline import run

    result = run("digits", out, overwrite=overwrite, verbose=_verbose(quiet), seed=seed, device=device)
    print_run(result, as_json)


@main.command()
@click.argument("source")
@click.option("--out", type=OUT, required=True, help="The run folder.")
@labels_option
@training_options
@judging_options
@models_option
@seed_option
@device_option
@overwrite_option
@output_options
def run(source: str, out: Path, labels: Path | None, overwrite: bool, as_json: bool, quiet: bool, **options):
    """Train on SOURCE, judge the latents, write a run folder.

    SOURCE is a folder of images, an IDX, NPY or NPZ file, a MNIST pickle, or the name digits or mnist.

    \b
    Example:
      caescope run mnist.pkl.gz --out runs/mnist --latent-features 20 --filters 8,16 --epochs 5
    """
    from caescope.pipeline import run

    result = run(source, out, labels=labels, overwrite=overwrite, verbose=_verbose(quiet), **options)
    print_run(result, as_json)


@main.command()
@click.argument("source")
@click.option("--out", type=OUT, required=True, help="The model folder.")
@click.option("--log-dir", type=OUT, help="Folder for TensorBoard's event files.")
@training_options
@seed_option
@device_option
@overwrite_option
@output_options
def fit(source: str, out: Path, log_dir: Path | None, overwrite: bool, as_json: bool, quiet: bool, **options):
    """Train on SOURCE and write a model folder.

    \b
    Example:
      caescope fit mnist.pkl.gz --out models/mnist --latent-features 20
    """
    from caescope.pipeline import fit

    fit(source, out, overwrite=overwrite, verbose=_verbose(quiet), log_dir=log_dir, **options)
    print_paths({"model": out}, as_json)


@main.command()
@click.argument("model", type=IN)
@click.argument("source")
@click.option("--out", type=OUT, required=True, help="The Parquet file.")
@labels_option
@device_option
@overwrite_option
@output_options
def encode(model, source, out, labels, device, overwrite, as_json, quiet):
    """Write latents and reconstruction errors of SOURCE's images.

    \b
    Example:
      caescope encode models/mnist mnist.pkl.gz --out latents.parquet
    """
    from caescope.pipeline import encode

    encode(model, source, out, labels=labels, device=device, overwrite=overwrite, verbose=_verbose(quiet))
    print_paths({"latents": out}, as_json)


@main.command()
@click.argument("latents", type=IN)
@click.option("--out", type=OUT, help="The run folder.  [default: RUN itself, or FILE-analysis]")
@click.option("--labels", help="Column of the table, or a file as for run.")
@judging_options
@seed_option
@overwrite_option
@output_options
@click.pass_context
def analyze(context, latents, out, labels, overwrite, as_json, quiet, **options):
    """Judge LATENTS, whoever made them: a Parquet or NPY file, or a run folder.

    Writes probes, maps, clusters, how far to trust them, figures and a report. Options that are not given are
    those of the run folder.

    \b
    Example:
      caescope analyze runs/mnist --clusters 12
      caescope analyze latents.parquet --labels label --group slide
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
@click.argument("model", type=IN)
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
def doctor(as_json: bool):
    """Show this machine's versions, processors, GPU and extras.

    \b
    Example:
      caescope doctor
    """
    from caescope.cli.doctor import examine

    facts = examine()
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        click.echo(f"{name}: {value}")


def _verbose(quiet: bool) -> int | str:
    return 0 if quiet else "auto"

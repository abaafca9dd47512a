import json
import re

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from caescope import CAE
from caescope.cli import main
from caescope.table import read_latents

pytestmark = pytest.mark.usefixtures("undrawn")


def call(*arguments, code=0):
    """Run a command as the shell would; return its standard output and error."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    if result.exception is not None:
        assert isinstance(result.exception, SystemExit), result.exception
    return result.stdout, result.stderr


QUICK = ["--epochs", 1, "--latent-features", 3, "--filters", "2,4", "--quiet", "--device", "cpu"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(40):
        (folder / "ab"[i % 2]).mkdir(exist_ok=True)
        pixels = rng.integers(0, 120, (9, 10, 3), dtype=np.uint8) + (100 * (i % 2))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "ab"[i % 2] / f"{i:02d}.png")
    return folder


def test_the_whole_way_from_the_shell(source, tmp_path):
    out, err = call("fit", source, "--out", tmp_path / "model", *QUICK)
    assert (out, err) == (f"model: {tmp_path / 'model'}\n", "")
    out, _ = call("inspect", tmp_path / "model")
    assert "latent_features: 3" in out
    assert "encoder: 9 × 10 × 3 → 3" in out
    out, _ = call("encode", tmp_path / "model", source, "--out", tmp_path / "z.parquet", "--quiet")
    assert out == f"latents: {tmp_path / 'z.parquet'}\n"
    table = read_latents(tmp_path / "z.parquet")
    assert table.ids[0] == "a/00.png"
    assert table.labels.tolist() == ["a"] * 20 + ["b"] * 20
    out, _ = call("analyze", tmp_path / "z.parquet", "--clusters", 3, "--out", tmp_path / "run", "--quiet")
    assert f"report: {tmp_path / 'run' / 'report.html'}" in out
    (tmp_path / "run" / "report.html").unlink()
    out, _ = call("report", tmp_path / "run")
    assert out == f"report: {tmp_path / 'run' / 'report.html'}\n"
    assert (tmp_path / "run" / "report.html").is_file()


def test_run_prints_a_table_or_json(source, tmp_path):
    out, err = call("run", source, "--out", tmp_path / "run", "--clusters", 4, *QUICK)
    assert err == ""
    for name in ("test MSE", "dead latents", "mean Gini", "matched accuracy", "report:"):
        assert name in out
    out, _ = call("run", source, "--out", tmp_path / "run", "--clusters", 4, "--overwrite", "--json", *QUICK)
    answer = json.loads(out)
    assert answer["metrics"] == json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert answer["report"] == str(tmp_path / "run" / "report.html")


def test_a_recipe_chooses_what_is_not_given(tmp_path):
    options = ["--recipe", "best", "--epochs", 1, "--latent-features", 3, "--refine", 4, "--stability", 0]
    options += ["--map", "pca", "--clusters", 4]
    out, _ = call("run", "digits", "--out", tmp_path / "run", "--json", *options)
    assert json.loads(out)["metrics"]["refinement"]["k"] == 4
    model = CAE(path=tmp_path / "run" / "model", load=True).options
    assert (model.objective, model.architecture, model.latent_features) == ("invariant", "plain", 3)


def test_options_reach_the_model(source, tmp_path):
    options = [
        "--latent-features",
        "none",
        "--filters",
        "2,3",
        "--kernel",
        "3,5",
        "--stride",
        2,
        "--pool",
        "1",
    ]
    options += ["--optimizer", "adam", "--lossfn", "mae", "--latent-activation", "relu", "--epochs", 1]
    options += ["--architecture", "residual", "--objective", "invariant", "--objective-weight", 0.5]
    options += ["--views", "histology"]
    call("fit", source, "--out", tmp_path / "model", "--log-dir", tmp_path / "logs", *options)
    assert CAE(path=tmp_path / "model", load=True).options.as_dict() == {
        "filters": [2, 3],
        "input_shape": [9, 10, 3],
        "kernel": [3, 5],
        "latent_features": None,
        "lossfn": "mae",
        "optimizer": "adam",
        "pool": [1, 1],
        "stride": 2,
        "latent_activation": "relu",
        "architecture": "residual",
        "objective": "invariant",
        "objective_weight": 0.5,
        "views": "histology",
    }
    assert list((tmp_path / "logs").iterdir())


def test_analyze_keeps_what_a_run_was_made_with(source, tmp_path):
    call("run", source, "--out", tmp_path / "run", "--clusters", 4, "--map", "pca", "--seed", 3, *QUICK)
    out, _ = call("analyze", tmp_path / "run", "--clusters", 2, "--json", "--quiet")
    found = json.loads(out)["metrics"]
    assert found["clusters"]["k"] == 2
    assert found["projection"]["map"]["method"] == "pca"


@pytest.mark.parametrize(
    ("arguments", "piece"),
    [
        (["run", "nothing.npz", "--out", "OUT"], "caescope: nothing.npz must exist. Received no such file"),
        (["run", "SOURCE", "--out", "OUT", "--clusters", "50"], "caescope: The number of clusters must be"),
        (
            ["run", "SOURCE", "--out", "OUT", "--optimizer", "sdg"],
            "caescope: optimizer must be one of adamax",
        ),
        (["run", "SOURCE", "--out", "OUT", "--labels", "nothing.csv"], "caescope: nothing.csv must exist"),
        (["run", "SOURCE", "--out", "SOURCE"], "which holds something else"),
        (
            ["fit", "SOURCE", "--out", "OUT", "--epochs", "0"],
            "caescope: epochs must be an integer",
        ),
        (["encode", "nothing", "SOURCE", "--out", "OUT"], "caescope: nothing"),
        (["analyze", "nothing"], "caescope: nothing must exist"),
        (["report", "nothing"], "must be a run folder"),
        (["inspect", "SOURCE"], "params.yaml"),
    ],
)
def test_bad_input_exits_with_1_and_one_sentence(source, tmp_path, arguments, piece):
    places = {"SOURCE": source, "OUT": tmp_path / "out"}
    out, err = call(*(places.get(argument, argument) for argument in arguments), code=1)
    assert out == ""
    assert piece in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "x"],
        ["run", "x", "--out", "y", "--filters", "8;16"],
        ["fly"],
        ["demo", "--seed", "one"],
    ],
)
def test_wrong_usage_exits_with_2(arguments):
    _, err = call(*arguments, code=2)
    assert "Usage:" in err


def test_every_command_is_documented_and_has_an_example():
    known = "demo run fit encode tile analyze report explore export inspect doctor"
    assert set(main.commands) == set(known.split())
    for name, command in {"": main, **main.commands}.items():
        out, _ = call(*[name] if name else [], "--help")
        assert "Example:" in out
        assert f"caescope {name}".strip() in out
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.name}"


def test_doctor_tells_versions():
    out, _ = call("doctor")
    assert re.search(r"^torch: \d", out, re.MULTILINE)
    facts = json.loads(call("doctor", "--json")[0])
    assert {"python", "processors", "gpu", "cache", "torch", "extra umap"} <= set(facts)


def test_version():
    assert re.fullmatch(r"caescope \d+\.\d+\.\d+\n", call("--version")[0])

"""Model folders from strangers: nothing in them runs, hangs, crashes, fills the memory or reaches out."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import hostile_models as hostile
from caescope.cae import CAE
from caescope.errors import FileFormatError, ModelError
from caescope.model.hdf5 import hash_weights
from caescope.model.persistence import load_model

SCRIPT = Path(__file__).with_name("hostile_models.py")
SECONDS = 10
MEGABYTES = 1536
OURS = ("FileFormatError", "ModelError")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """A model folder without hashes, as a stranger would leave them out."""
    folder = tmp_path_factory.mktemp("good") / "model"
    CAE((8, 8, 1), 3, [2, 4], path=folder, seed=0).save()
    params = yaml.safe_load((folder / "params.yaml").read_text())
    kept = {key: params[key] for key in params if key not in ("weights_sha256", "caescope_version")}
    (folder / "params.yaml").write_text(yaml.safe_dump(kept))
    return folder


@pytest.fixture(scope="module")
def folders(good, tmp_path_factory) -> dict[str, Path]:
    return hostile.build_all(good, tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def outcomes(folders) -> dict[tuple[str, str], dict]:
    """What came of every case, opened by CAE and by the command."""
    names = {str(folder): name for name, folder in folders.items()}
    command = [sys.executable, str(SCRIPT), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {(names[answer["folder"]], answer["how"]): answer for answer in answers}


def demand_limits(answer: dict, folder: Path) -> None:
    """Whatever came of a folder: no signal, no code, no other file, in little time and memory."""
    assert answer["status"] == 0
    assert answer["outside"] == []
    assert answer["seconds"] < SECONDS
    assert answer["megabytes"] < MEGABYTES
    assert not list(folder.parent.rglob("HACKED"))


@pytest.mark.parametrize("name", hostile.CASES)
def test_a_hostile_folder_is_refused_in_one_sentence(name, folders, outcomes):
    answer, (_, error, piece) = outcomes[name, "load"], hostile.CASES[name]
    demand_limits(answer, folders[name])
    if piece == hostile.LOADS or (piece == hostile.EITHER and answer["error"] is None):
        assert answer["error"] is None, answer["message"]
        assert not answer["canary"]
        return
    assert answer["error"] in (OURS if piece == hostile.EITHER else [error]), answer["message"]
    assert str(folders[name]) in answer["message"]
    assert ". Received " in answer["message"]
    assert "\n" not in answer["message"]
    assert len(answer["message"]) < 2000
    assert str(hostile.CANARY) not in answer["message"]
    assert piece in answer["message"] or piece == hostile.EITHER


@pytest.mark.parametrize("name", hostile.SHOWN)
def test_the_command_refuses_it_with_exit_code_1(name, folders, outcomes):
    answer = outcomes[name, "inspect"]
    demand_limits(answer, folders[name])
    loaded = outcomes[name, "load"]["error"] is None
    assert answer["exit"] == (0 if loaded else 1)
    assert "Traceback" not in answer["printed"]
    assert loaded or answer["printed"] == f"caescope: {outcomes[name, 'load']['message']}\n"


@pytest.mark.parametrize("name", ["external_link", "yaml_apply", "pipe_encoder.h5"])
def test_the_installed_command_prints_one_line(name, folders):
    command = [sys.executable, "-m", "caescope", "inspect", str(folders[name])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("caescope: ")


def test_the_reader_can_open_no_further_file(tmp_path):
    """Even where a file made HDF5 follow a link, the system would not let it."""
    (tmp_path / "canary").write_text("secret")
    code = f"from caescope import isolation; isolation.limit(2**30, 2); open({str(tmp_path / 'canary')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Too many open files" in done.stderr


def test_a_reader_that_cannot_start_is_no_fault_of_the_file(good, monkeypatch):
    monkeypatch.setattr("caescope.isolation._CHILD", "raise SystemExit(3)")
    with pytest.raises(ModelError, match=r"must be able to start a Python process .* Received exit status 3"):
        load_model(good)


def test_a_reader_that_crashes_does_so_alone(good, monkeypatch):
    """As HDF5's library does on some damaged files."""
    crash = "import os, sys; sys.stdout.write('S'); sys.stdout.flush(); os.kill(os.getpid(), 11)"
    monkeypatch.setattr("caescope.isolation._CHILD", crash)
    with pytest.raises(FileFormatError, match=r"encoder\.h5 must be readable .* stopped \(SIGSEGV\)"):
        load_model(good)


def test_a_reader_that_waits_for_ever_is_stopped(good, monkeypatch):
    wait = "import sys, time; sys.stdout.write('S'); sys.stdout.flush(); time.sleep(60)"
    monkeypatch.setattr("caescope.isolation._CHILD", wait)
    monkeypatch.setattr("caescope.isolation.PATIENCE", 0.1)
    with pytest.raises(FileFormatError, match=r"encoder\.h5 must be readable .* stopped \(SIGKILL\)"):
        load_model(good)


def test_weights_come_back_bit_by_bit_through_the_reader(tmp_path):
    cae = CAE((30, 20, 3), 7, [4, 6], path=tmp_path / "model", seed=3)
    cae.save()
    loaded = CAE(path=tmp_path / "model", load=True)
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            cae.model.module.state_dict().values(), loaded.model.module.state_dict().values(), strict=True
        )
    )


def test_params_yaml_holds_the_hashes_of_the_weights(tmp_path):
    cae = CAE((8, 8, 1), 3, [2, 4], path=tmp_path / "model", seed=0)
    cae.save()
    hashes = yaml.safe_load((tmp_path / "model" / "params.yaml").read_text())["weights_sha256"]
    assert hashes == {
        "encoder": hash_weights(cae.encoder.get_weights()),
        "decoder": hash_weights(cae.decoder.get_weights()),
    }


def test_a_folder_saved_before_there_were_hashes_loads_with_a_warning(good, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in good.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    with (folder / "params.yaml").open("a") as file:
        file.write("caescope_version: 0.1.0\n")
    with pytest.warns(UserWarning, match="does not tell whether its three files belong together"):
        CAE(path=folder, load=True)


def test_the_promises_name_cases_that_exist():
    page = SCRIPT.parents[1] / "docs" / "reliability.md"
    section = page.read_text().split("## Model folders from strangers")[1].split("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("|")][2:]
    named = {name for row in rows for name in re.findall("`([^`]+)`", row[3])}
    assert named
    assert named <= set(hostile.CASES)
    assert set(re.findall(r"`(test_\w+)`", section)) <= set(globals())

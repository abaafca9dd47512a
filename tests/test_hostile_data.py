"""Data from strangers: nothing in them runs, hangs, crashes, fills the memory or reaches out."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import hostile_data as hostile
from caescope.data import find_source
from caescope.errors import FileFormatError, ModelError

SCRIPT = Path(__file__).with_name("hostile_data.py")
MEGABYTES = 1536

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a system that forks and has inotify")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, dict]:
    """What came of every case."""
    root = tmp_path_factory.mktemp("hostile")
    try:
        hostile.build_all(root)
        command = [sys.executable, str(SCRIPT), str(root)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        for number, answer in enumerate(answers):
            case = root / str(number)
            answer["hacked"] = [str(path) for path in (*case.glob("HACKED*"), *case.glob("*/HACKED*"))]
    finally:  # Python, and so pytest, cannot remove folders as deep as some of these
        subprocess.run(["rm", "-rf", str(root)], check=True)
    return {answer["name"]: answer for answer in answers}


@pytest.mark.parametrize("name", hostile.CASES)
def test_hostile_data_are_refused_in_one_sentence(name, outcomes):
    answer, (_, error, piece, _) = outcomes[name], hostile.CASES[name]
    assert answer["status"] == 0
    assert (answer["started"], answer["outside"], answer["hacked"]) == ([], False, [])
    assert answer["seconds"] < hostile.SECONDS
    assert answer["megabytes"] < MEGABYTES
    if answer["error"] is None:
        assert piece in (hostile.LOADS, hostile.EITHER), answer["values"]
        assert str(hostile.CANARY) not in map(str, answer["values"])
        return
    assert answer["error"] == error, answer["message"]
    assert answer["parts"]
    assert ". Received " in answer["message"]
    assert "\n" not in answer["message"]
    assert len(answer["message"]) < 2000
    assert piece in answer["message"] or piece == hostile.EITHER


def images_file(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=hostile.IMAGES, chunks=(1, 28, 28))
    return path


def test_the_reader_of_images_can_open_no_further_file(tmp_path):
    """Even where a file made HDF5 follow a link, the system would not let it."""
    path = images_file(tmp_path / "a.h5")
    code = (
        "import h5py; from caescope import hdf5_images, isolation; "
        f"isolation.limit(2**30, 9, hdf5_images.FILES); file = h5py.File({str(path)!r}); open({str(path)!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Too many open files" in done.stderr


CHILDREN = {
    "SIGSEGV": "import os, sys; sys.stdout.write('S'); sys.stdout.flush(); os.kill(os.getpid(), 11)",
    "SIGKILL": "import sys, time; sys.stdout.write('S'); sys.stdout.flush(); time.sleep(60)",
    "status 3": "import sys; sys.stdout.write('S'); sys.stdout.flush(); sys.exit(3)",
}


@pytest.mark.parametrize("how", CHILDREN)
def test_a_reader_of_images_that_stops_does_so_alone(how, tmp_path, monkeypatch):
    """As HDF5's library does on some damaged files."""
    monkeypatch.setattr("caescope.isolation._CHILD", CHILDREN[how])
    monkeypatch.setattr("caescope.isolation.PATIENCE", 0.5)
    with pytest.raises(FileFormatError, match=rf"a\.h5 must be readable as .* stopped \({how}\)"):
        find_source(images_file(tmp_path / "a.h5"))


def test_a_reader_of_images_that_cannot_start_is_no_fault_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("caescope.isolation._CHILD", "raise SystemExit(3)")
    with pytest.raises(ModelError, match="must be able to start a Python process"):
        find_source(images_file(tmp_path / "a.h5"))


def test_images_are_read_again_after_their_reader_was_ended(tmp_path):
    """For example by the system, when memory is short."""
    source = find_source(images_file(tmp_path / "a.h5"))
    source.stack._reader.process.kill()
    with pytest.raises(FileFormatError, match=r"stopped \(SIGKILL\)"):
        source.read([1])
    np.testing.assert_array_equal(source.read([1, 5])[..., 0], hostile.IMAGES[[1, 5]])


def test_a_frozen_program_reads_images_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr("caescope.isolation.start", None)
    source = find_source(images_file(tmp_path / "a.h5"))
    np.testing.assert_array_equal(source.read([1, 5])[..., 0], hostile.IMAGES[[1, 5]])


def test_the_promises_name_cases_that_exist():
    page = SCRIPT.parents[1] / "docs" / "reliability.md"
    _, found, section = page.read_text().partition("## Data from strangers")
    if not found:
        pytest.skip("the page does not tell yet")
    rows = [line.split("|") for line in section.split("\n## ")[0].splitlines() if line.startswith("|")][2:]
    named = {name for row in rows for name in re.findall("`([^`]+)`", row[3])}
    assert named
    assert named <= {*hostile.CASES, *(name for name in globals() if name.startswith("test_"))}

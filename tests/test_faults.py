"""Whatever is written is the old or the new, whole, when the disk fails or the process dies at any moment."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory) -> Path:
    """The library that lets calls fail."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "faults.c", "-ldl"], check=True
    )
    return library


def try_all(preloaded: Path, folder: Path, job: str, faults: str, every: int) -> list[dict]:
    environment = {**os.environ, "LD_PRELOAD": str(preloaded), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    command = [sys.executable, str(HERE / "faults.py"), job, str(folder), faults, str(every)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


# How many calls there are at least, and which of them are tried with each fault; every call with one of them
JOBS = {
    "model": (20, 3),
    "model again": (25, 1),
    "checkpoint": (4, 1),
    "first latents": (20, 3),
    "latents": (20, 3),
    "metrics": (8, 3),
    "report": (4, 3),
    "run": (60, 3),
    "run again": (60, 3),
}


@pytest.mark.parametrize("job", JOBS)
def test_a_disk_that_fails_leaves_the_old_or_the_new(preloaded, tmp_path, job):
    fewest, every = JOBS[job]
    trials = try_all(preloaded, tmp_path, job, "ENOSPC,EIO,EACCES", every)
    assert len(trials) >= 3 * (fewest // every)
    assert {trial["fault"] for trial in trials} == {"ENOSPC", "EIO", "EACCES"}
    for trial in trials:
        assert trial["found"] in ("old", "new"), trial
        if trial["ended"] == "well":  # what failed was only in the way of tidying up
            assert trial["found"] == "new", trial
        else:
            assert trial["ended"] == "OutputError", trial
            assert trial["folder"] in trial["said"], trial
    assert any(trial["ended"] == "OutputError" for trial in trials)


@pytest.mark.parametrize("job", JOBS)
def test_a_process_that_is_killed_leaves_the_old_or_the_new(preloaded, tmp_path, job):
    fewest, every = JOBS[job]
    trials = try_all(preloaded, tmp_path, job, "kill", every)
    assert len(trials) >= fewest // every
    for trial in trials:
        assert trial["ended"] == "signal 9", trial
        assert trial["found"] in ("old", "new"), trial
        assert trial["again"], trial
    assert {trial["found"] for trial in trials} >= {"old"}

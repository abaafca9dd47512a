"""Whatever is written is the old or the new, whole, when the disk fails or the process dies at any moment."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from faults import JOBS

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


@pytest.fixture(scope="session")
def trials(preloaded, tmp_path_factory) -> list[dict]:
    """What became of all jobs at each fault; from one process, since it takes as long to start as to try."""
    environment = {**os.environ, "LD_PRELOAD": str(preloaded), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    command = [sys.executable, str(HERE / "faults.py"), str(tmp_path_factory.mktemp("trials"))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("job", JOBS)
def test_a_disk_that_fails_leaves_the_old_or_the_new(trials, job):
    fewest, every = JOBS[job].fewest, JOBS[job].every
    found = [trial for trial in trials if trial["job"] == job and trial["fault"] != "kill"]
    assert len(found) >= 3 * (fewest // every)
    assert {trial["fault"] for trial in found} == {"ENOSPC", "EIO", "EACCES"}
    for trial in found:
        assert trial["found"] in ("old", "new"), trial
        if trial["ended"] == "well":  # what failed was only in the way of tidying up
            assert trial["found"] == "new", trial
        else:
            assert trial["ended"] == "OutputError", trial
            assert trial["folder"] in trial["said"], trial
    assert any(trial["ended"] == "OutputError" for trial in found)


@pytest.mark.parametrize("job", JOBS)
def test_a_process_that_is_killed_leaves_the_old_or_the_new(trials, job):
    found = [trial for trial in trials if trial["job"] == job and trial["fault"] == "kill"]
    assert len(found) >= JOBS[job].fewest // JOBS[job].every
    for trial in found:
        assert trial["ended"] == "signal 9", trial
        assert trial["found"] in ("old", "new"), trial
        assert trial["again"], trial
    assert {trial["found"] for trial in found} >= {"old"}

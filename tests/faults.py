"""Runs jobs that write while the disk fails, or the process dies, at every call that changes the disk.

With ``faults.c``, compiled, in LD_PRELOAD, ``python tests/faults.py FOLDER JOB...`` prints a JSON line for
each trial: which job, what was to happen at which call, how the process ended, what it said, and whether the
output is the old or the new one.
"""

import ctypes
import json
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

FAULTS = {"ENOSPC": 28, "EIO": 5, "EACCES": 13, "kill": -signal.SIGKILL}
MOST_CALLS = 2000
IMAGES = np.random.default_rng(0).random((40, 6, 6, 1), np.float32)


class Job(NamedTuple):
    """What writes, and how to tell what is there then.

    Attributes
    ----------
    before, after : callable of a folder
        Make the old output, and the new one in its place.
    content : callable of a folder
        What a reader finds there; equal for equal outputs.
    fewest : int
        How many calls there are at least.
    every : int
        At every so many calls each fault is tried, those of the disk beginning one call after another.
    """

    before: Callable[[Path], object]
    after: Callable[[Path], object]
    content: Callable[[Path], object]
    fewest: int
    every: int = 3


def new_cae(seed: int):
    from caescope import CAE

    return CAE((6, 6, 1), 2, [2], seed=seed, device="cpu")


def load(folder: Path):
    """Return what `load_model` reads, from the same files without a process of its own for each."""
    from caescope.model.persistence import COMMITTED, FILES, _path_of

    if not folder.exists():
        return None
    extra = {path.name for path in folder.iterdir()} - {*FILES, COMMITTED}
    assert not [name for name in extra if not name.startswith(".")], extra
    return [_path_of(folder, name).read_bytes() for name in FILES]


def train(folder: Path, epochs: int) -> None:
    """Train with one batch in each epoch, so that every further one changes the checkpoint."""
    from caescope.callbacks import Checkpoint, EarlyStopping

    stop = EarlyStopping("loss", patience=epochs, restore_best_weights=True)
    checkpoint = Checkpoint(folder / "state", seconds=0)
    arguments = {
        "batch_size": 40,
        "verbose": 0,
        "callbacks": [Stopper(epochs), stop],
        "checkpoint": checkpoint,
    }
    with suppress(Enough):
        new_cae(0).model.fit(IMAGES, epochs=10, **arguments)


class Enough(Exception):
    """So many epochs are enough."""


class Stopper:
    """Ends training as if the process had died, before epoch ``n``."""

    def __init__(self, n: int):
        self.n = n

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.n:
            raise Enough


def position(folder: Path):
    """Return where the checkpoint is, once all of it was read."""
    import zipfile

    path = folder / "state" / "training.npz"
    if not path.exists():
        return None
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    with np.load(path) as arrays:
        return json.loads(arrays["record"].tobytes())["state"]["steps_done"]


def encode(folder: Path, seed: int) -> None:
    import caescope.encoding
    from caescope.data import ArraySource
    from caescope.progress import Stages

    caescope.encoding.PART_IMAGES = 16
    caescope.encoding.encode_to_file(
        new_cae(seed), ArraySource(IMAGES), folder / "latents.parquet", Stages(verbose=0)
    )


def latents(folder: Path):
    from caescope.table import read_latents

    path = folder / "latents.parquet"
    return read_latents(path).latents.tolist() if path.exists() else None


def record(folder: Path, n: int) -> None:
    from caescope.run_folder import write_record

    write_record(
        folder, {"options": {"seed": n}, "seed": n, "n_images": {"train": 40}}, {"latents": {"dead": n}}
    )


def metrics(folder: Path):
    """Return what metrics.json holds; that run.yaml is of the same run is what `stage` is for."""
    return json.loads((folder / "metrics.json").read_text())


def report(folder: Path) -> None:
    """Write a report, and then other metrics, so that the next report is another."""
    from caescope.report import write_report

    record(folder, 1)
    write_report(folder)
    record(folder, 2)


def report_again(folder: Path) -> None:
    from caescope.report import write_report

    write_report(folder)


def page(folder: Path):
    return (folder / "report.html").read_text() if (folder / "report.html").exists() else None


def stage(folder: Path, n: int) -> None:
    """Write a run folder with a model, latents, a figure, metrics and the report, as a run does."""
    from caescope.data import ArraySource
    from caescope.encoding import encode_images
    from caescope.plots import plot_gini, save_figure
    from caescope.progress import Stages
    from caescope.report import write_report
    from caescope.staging import OutputFolder

    cae = new_cae(n)
    with OutputFolder(folder / "run", overwrite=True).staged() as partial:
        cae.save(partial / "model")
        table, _ = encode_images(cae, ArraySource(IMAGES), Stages(verbose=0))
        table.write(partial / "latents.parquet")
        (partial / "figures").mkdir()
        save_figure(plot_gini({0: 0.1 * n, 1: 0.3}), partial / "figures" / "gini.png")
        record(partial, n)
        write_report(partial)


def tree(folder: Path):
    run = folder / "run"
    if not run.exists():
        return None
    return {
        str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()
    }


def nothing(_folder: Path) -> None:
    """There is no old output."""


JOBS = {
    "model": Job(nothing, lambda f: new_cae(1).save(f / "model"), lambda f: load(f / "model"), 20),
    "model again": Job(
        lambda f: new_cae(1).save(f / "model"),
        lambda f: new_cae(2).save(f / "model"),
        lambda f: load(f / "model"),
        25,
        every=1,
    ),
    "checkpoint": Job(lambda f: train(f, 1), lambda f: train(f, 2), position, 4, every=1),
    "latents": Job(lambda f: encode(f, 1), lambda f: encode(f, 2), latents, 20),
    "first latents": Job(nothing, lambda f: encode(f, 2), latents, 20),
    "metrics": Job(lambda f: record(f, 1), lambda f: record(f, 2), metrics, 8),
    "report": Job(report, report_again, page, 4),
    "run": Job(nothing, lambda f: stage(f, 1), tree, 60),
    "run again": Job(lambda f: stage(f, 1), lambda f: stage(f, 2), tree, 60),
}


def try_all(name: str, folder: Path) -> None:
    """Print what becomes of a job when every so many calls go wrong, one at a time."""
    job = JOBS[name]
    first = folder / "first"
    first.mkdir(parents=True)
    job.before(first)  # here, so that the processes need not import and set up what this one has
    job.after(first)
    old = prepared(job, folder / "old")
    was, calls = job.content(old), None
    new = shutil.copytree(old, folder / "new")
    answer = run_child(job, new, MOST_CALLS + 1, 0)
    assert answer["ended"] == "well", answer
    calls, becomes = answer["calls"], job.content(new)
    assert becomes != was
    assert 0 < calls < MOST_CALLS
    for start, (fault, code) in enumerate(FAULTS.items()):
        for at in range(1 + start % job.every, calls + 1, job.every):
            place = shutil.copytree(old, folder / f"{fault}-{at}")
            answer = run_child(job, place, at, code)
            found = job.content(place)
            answer["found"] = "old" if found == was else "new" if found == becomes else "neither"
            if fault == "kill":  # what it leaves is in nobody's way
                again = run_child(job, place, MOST_CALLS + 1, 0)
                answer["again"] = again["ended"] == "well" and job.content(place) == becomes
            trial = {"job": name, "fault": fault, "at": at, "of": calls, "folder": str(place)}
            print(json.dumps(trial | answer), flush=True)
            shutil.rmtree(place)


def prepared(job: Job, folder: Path) -> Path:
    """Return the folder with the old output, made in a process of its own, as all are."""
    folder.mkdir()
    ended, status = os.waitpid(fork(lambda: job.before(folder)), 0)
    assert ended
    assert status == 0
    return folder


def run_child(job: Job, folder: Path, at: int, code: int) -> dict:
    """Do the job in a process in which something happens at a call; return how it ended."""
    library = ctypes.CDLL(None)
    reader, writer = os.pipe()

    def act() -> None:
        said, ended = "", "well"
        library.arm(os.fsencode(folder), ctypes.c_long(at), ctypes.c_int(code))
        try:
            job.after(folder)
        except Exception as error:
            said, ended = str(error), type(error).__name__
        calls = library.count()
        library.arm(b"", ctypes.c_long(0), ctypes.c_int(0))
        os.write(writer, json.dumps({"ended": ended, "said": said, "calls": calls}).encode())

    child = fork(act)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        content = pipe.read()
    _, status = os.waitpid(child, 0)
    return (
        json.loads(content)
        if content
        else {"ended": f"signal {os.WTERMSIG(status)}", "said": "", "calls": at}
    )


def fork(function: Callable[[], object]) -> int:
    """Call a function in a process of its own, which ends without cleaning up; return its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that other threads are not there
        child = os.fork()
    if child:
        return child
    try:
        function()
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    import torch

    import caescope.pipeline
    import caescope.plots  # once, before all the processes  # noqa: F401

    torch.set_num_threads(1)
    sys.frozen = True  # files are read by no process of their own, which would take ten times as long
    place, *names = sys.argv[1:]
    for job_name in names or JOBS:
        try_all(job_name, Path(place, job_name))

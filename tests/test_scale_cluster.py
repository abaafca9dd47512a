"""What only a real cluster of this machine shows; all tests of it are here, since it takes long to start."""

import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from caescope import CAE
from caescope.analyzing_parts import EVERYTHING
from caescope.callbacks import Callback, Checkpoint
from caescope.data import find_source
from caescope.encoding_parts import encode_to_parts
from caescope.errors import DataError, OptionError
from caescope.parts import part_name
from caescope.pipeline import analyze, encode
from caescope.progress import Stages
from caescope.scale import connecting, versions
from caescope.scale.connecting import connected
from caescope.scale.training import fit_with
from caescope.scale.workers import Workers
from caescope.table import LatentTable, read_latents
from hooked import Hooked
from parted import write_whole

IMAGES = np.random.default_rng(0).integers(0, 256, (896, 8, 8, 1), np.uint8)
LABELS = np.random.default_rng(0).integers(0, 3, 896)
FEW = IMAGES[:60] / np.float32(255)
TWO = Workers(2, cpus_each=1)
CALM = {**os.environ, "OMP_NUM_THREADS": "1"}
TALK = {"capture_output": True, "text": True, "env": CALM, "timeout": 240}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning"),  # of Ray, by Ray
    pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray"),  # not imported before it is told things
]


@pytest.fixture(scope="module")
def cluster():
    """A cluster of this machine that several tests share; `connected` uses what is there."""
    heard_by = signal.getsignal(signal.SIGTERM)
    with connected(TWO) as ray:
        assert signal.getsignal(signal.SIGTERM) == heard_by
        modules = [sys.modules[name] for name in (Hooked.__module__, __name__)]
        for module in modules:  # workers cannot import them
            ray.cloudpickle.register_pickle_by_value(module)
        yield ray
        for module in modules:
            ray.cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return new().save(tmp_path_factory.mktemp("model") / "model")


def new() -> CAE:
    return CAE((8, 8, 1), 3, [4], seed=0, device="cpu", precision="float32")


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_cluster_for_clients_that_does_not_answer_is_said_at_once():  # before there is a cluster
    address = f"ray://127.0.0.1:{free_port()}"
    with (
        pytest.raises(
            OptionError, match=f"must be that of a Ray cluster that answers. Received {address}: C"
        ),
        connected(Workers(2, address=address)),
    ):
        pass


def test_other_versions_are_refused(cluster, monkeypatch):
    versions.demand_same_versions(cluster)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9")  # in this process alone
    with pytest.raises(OptionError, match=r"Received caescope 0\.\d\S* on \S+ and 9\.9 here\. Install caesc"):
        versions.demand_same_versions(cluster)
    with pytest.raises(OptionError, match=r"Received no-such missing on \S+ and 9\.9 here"):
        versions.demand_same_versions(cluster, ("no-such",))


def test_a_cluster_that_is_too_small_is_refused(cluster):
    with pytest.raises(OptionError, match=r"^99 workers must each find 1 processors and 0 GPUs on one mach"):
        connecting.demand_resources(cluster, Workers(99))
    with pytest.raises(OptionError, match=r"2 workers must each find 1 processors and 0\.5 GPUs .* for 0\."):
        connecting.demand_resources(cluster, Workers(2, gpus_each=0.5))


# --- Training


class Killed(Callback):
    """Kills its own process in the middle, once, and notes what it sees."""

    def __init__(self, folder: Path):
        self.folder = folder

    def on_train_batch_end(self, batch, logs=None):
        with open(self.folder / "steps", "a") as file:
            file.write(f"{self.model.stop_training:d}{batch}\n")
        if batch == 2 and not (self.folder / "killed").exists():
            self.later = True

    def on_train_batch_begin(self, batch, logs=None):
        if getattr(self, "later", False):
            (self.folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Told(Callback):
    """Notes the epochs that it is told of."""

    def __init__(self):
        self.epochs, self.has_ended = [], False

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((epoch, logs["loss"]))

    def on_train_end(self, logs=None):
        self.has_ended = True


def test_a_killed_worker_changes_nothing_in_what_one_process_learns(cluster, tmp_path):
    alone, shared, told = new(), new(), Told()
    history = alone.model.fit(FEW, batch_size=8, epochs=2, verbose=0, validation_data=FEW[:9])
    found = fit_with(
        TWO,
        shared,
        FEW,
        batch_size=8,
        epochs=2,
        validation_data=FEW[:9],
        shown=[told],
        callbacks=[Killed(tmp_path)],
        checkpoint=Checkpoint(tmp_path / "kept", seconds=0),
    )
    assert (tmp_path / "killed").exists()
    steps = [line[1:] for line in (tmp_path / "steps").read_text().split()]
    assert steps == [*"012", *"34567", *"01234567"]  # goes on, and does not begin anew
    for ours, theirs in zip(shared.model.get_weights(), alone.model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for name in ("loss", "val_loss", "learning_rate"):
        np.testing.assert_allclose(found.history[name], history.history[name], atol=1e-5)
    assert (told.epochs, told.has_ended) == ([*enumerate(found.history["loss"])], True)


class Damaged:
    """Images of which one cannot be read."""

    shape = (8, 8, 1)

    def __len__(self):
        return len(FEW)

    def read(self, indices):
        if 41 in np.arange(len(self))[indices]:
            raise DataError("Image 41 must be readable", "damage", "Write it again.")
        return FEW[indices]


def test_what_is_wrong_with_an_image_is_said_as_by_one_process(cluster, tmp_path):
    with pytest.raises(DataError, match=r"^Image 41 must be readable\. Received damage\. Write it again\.$"):
        fit_with(TWO, new(), Damaged(), batch_size=20, epochs=1, checkpoint=tmp_path / "kept")


# --- Encoding


@pytest.fixture(scope="module")
def undisturbed(model, tmp_path_factory):
    """What this process alone makes of the images."""
    out = tmp_path_factory.mktemp("undisturbed") / "z.parquet"
    encode_to_parts(CAE(path=model, load=True, device="cpu"), hooked(out.parent), out, Stages(0))
    return contents(out)


def hooked(folder: Path) -> Hooked:
    return Hooked(IMAGES, LABELS, folder=folder)


def readers(folder: Path) -> set[int]:
    """Return the processes that have read images, but for this one."""
    return {int(file.stem) for file in folder.glob("*.pid")} - {os.getpid()}


def test_an_image_that_cannot_be_read_is_named_and_the_rest_is_gone_on_with(
    cluster, model, undisturbed, tmp_path, capfd
):
    images, out, parts = hooked(tmp_path), tmp_path / "z.parquet", tmp_path / ".z.parquet.parts"
    (tmp_path / "bad").touch()
    with pytest.raises(DataError, match=r"^Image 500 must be readable\. Received damage\. Write it again\.$"):
        encode(model, images, out, verbose=0, workers=2, cpus_per_worker=1)
    assert not out.exists()
    (tmp_path / "bad").unlink()
    before = {file.name: file.stat().st_mtime_ns for file in parts.glob("part-*.parquet")}
    assert before
    assert part_name(448) not in before
    encode(model, images, out, workers=1, cpus_per_worker=1)
    assert contents(out) == undisturbed
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert not parts.exists()
    said = capfd.readouterr().err
    assert f"goes on after {64 * len(before)} of 896 images" in said
    assert "Traceback" not in said


def test_killing_a_worker_changes_nothing(cluster, model, undisturbed, tmp_path):
    images, out = hooked(tmp_path), tmp_path / "z.parquet"
    (tmp_path / "slow").touch()
    parts, done = tmp_path / ".z.parquet.parts", lambda: list(parts.glob("part-*.parquet"))
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(encode, model, images, out, verbose=0, workers=2, cpus_per_worker=1)
        while not done() and not job.done():
            time.sleep(0.02)
        os.kill(min(readers(tmp_path)), signal.SIGKILL)
        job.result()
    assert len(readers(tmp_path)) == 3  # two workers, and one in the place of the dead one
    assert contents(out) == undisturbed


def test_a_part_that_ends_every_worker_is_given_up(cluster, model, tmp_path, monkeypatch):
    monkeypatch.setattr("caescope.scale.streaming.ATTEMPTS", 1)
    (tmp_path / "deadly").touch()
    with pytest.raises(OptionError, match=r"have memory.* Received one that ended 2 times at the same task"):
        encode(model, hooked(tmp_path), tmp_path / "z.parquet", verbose=0, workers=1)
    assert not (tmp_path / "z.parquet").exists()


# --- Judging everything

JUDGE = {"sample": 150, "clusters": 4, "stability": 0, "verbose": 0}


def test_workers_write_and_count_what_one_process_does(cluster, tmp_path, monkeypatch):
    whole = write_whole(tmp_path / "z.parquet", (300, 300, 41, 300))
    alone = analyze(whole.folder, tmp_path / "alone", **JUDGE)
    monkeypatch.chdir(tmp_path)  # where paths are seen from, by workers, too
    together = analyze(whole.folder, "together", workers=2, cpus_per_worker=1, **JUDGE)
    assert together.metrics["everything"] == alone.metrics["everything"]
    assert contents(together.path / EVERYTHING) == contents(alone.path / EVERYTHING)
    assert (together.path / "latents.parquet").read_bytes() == (alone.path / "latents.parquet").read_bytes()


def test_a_part_that_a_worker_cannot_use_is_named(cluster, tmp_path):
    whole = write_whole(tmp_path / "z.parquet", (100, 100, 100))
    file = whole.folder / part_name(100)
    table = read_latents(file)
    errors = np.where(np.arange(100) == 7, np.nan, table.errors)
    LatentTable(table.ids, table.latents, labels=table.labels, errors=errors).write(file)
    with pytest.raises(DataError, match=r"NaN or infinity for 1 images, in .*part-000000000100\.parquet"):
        analyze(whole.folder, workers=2, cpus_per_worker=1, **JUDGE | {"map": "pca"})


# --- Commands


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "caescope", *map(str, arguments)]


def test_a_stopped_training_of_workers_goes_on(tmp_path):
    how = ("--epochs", "400", "--precision", "float32", "--workers", "2", "--quiet")
    fit = command("fit", "digits", "--out", tmp_path / "model", *how)
    process = subprocess.Popen(fit, stderr=subprocess.PIPE, text=True, env=CALM)
    partial = tmp_path / ".model.partial"
    wait_for((partial / "ray").exists, process)  # from here on signals are waited for
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=200)[1]
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "Training was stopped by SIGTERM" in said
    assert "--resume" in said
    assert (partial / "checkpoint" / "training.npz").exists()
    assert not (tmp_path / "model").exists()


def wait_for(condition, process) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.2)


def test_a_cluster_elsewhere_is_used_by_its_address(tmp_path):
    with running_cluster() as (address, client):
        said = subprocess.run(command("doctor", "--json", "--address", address), **TALK)
        assert json.loads(said.stdout)["cluster"].startswith(f"{address}, 1 machine, free 2 of 2 processors")
        how = ("--epochs", "1", "--workers", "1", "--address", client, "--json")
        said = subprocess.run(command("fit", "digits", "--out", tmp_path / "model", *how), **TALK)
        assert said.returncode == 0, said.stderr
        how = ("--out", tmp_path / "z.parquet", "--workers", "1", "--address", client, "--json")
        said = subprocess.run(command("encode", tmp_path / "model", "digits", *how), **TALK)
        assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout) == {"latents": str(tmp_path / "z.parquet")}
    lines = [line for line in said.stderr.splitlines() if "core_worker.cc" not in line]
    assert lines[0] == "encode: 1,797 images of 8×8×1"
    assert all(line.startswith("encode: ") for line in lines), said.stderr
    cae, found = CAE(path=tmp_path / "model", load=True, device="cpu"), read_latents(tmp_path / "z.parquet")
    np.testing.assert_allclose(found.latents, cae.encoder.predict(find_source("digits").images), atol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "z.parquet"]


@contextmanager
def running_cluster():
    """A cluster that another program started, as an administrator would."""
    port, client = free_port(), free_port()
    start = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=2"]
    start += [f"--port={port}", f"--ray-client-server-port={client}", "--include-dashboard=false"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    at_once = CALM | {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}  # else clients that left are waited for
    process = subprocess.Popen([*start, "--disable-usage-stats"], env=at_once, **quiet)
    try:
        wait_for(lambda: answers(port) and answers(client), process)
        yield f"127.0.0.1:{port}", f"ray://127.0.0.1:{client}"
    finally:
        process.terminate()
        process.wait(60)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def answers(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


def test_a_cluster_that_does_not_answer_is_said_at_once(tmp_path):
    asked = f"127.0.0.1:{free_port()}"
    how = ("--workers", "2", "--address", asked)
    said = subprocess.run(command("fit", "digits", "--out", tmp_path / "model", "--quiet", *how), **TALK)
    assert said.returncode == 1
    assert said.stderr.startswith("caescope: address must be that of a Ray cluster that answers. Received")
    assert asked in said.stderr
    assert len(said.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []

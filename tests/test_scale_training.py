"""Training shared by workers of a real cluster of this machine."""

import importlib.metadata
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from caescope import CAE
from caescope.callbacks import Callback, Checkpoint
from caescope.errors import DataError, MissingDependencyError, OptionError, TrainingError, TrainingStopped
from caescope.model.learner import Learner
from caescope.model.share import whole
from caescope.model.team import ALONE
from caescope.scale import connecting, versions
from caescope.scale.connecting import connected
from caescope.scale.training import as_sentence, fit_with
from caescope.scale.workers import Workers, parse_workers
from caescope.table import read_latents

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")  # of Ray, by Ray
IMAGES = np.random.default_rng(0).random((60, 8, 8, 1), np.float32)
TWO = Workers(2, cpus_each=1)
CALM = {**os.environ, "OMP_NUM_THREADS": "1"}


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


class Damaged:
    """Images of which one cannot be read."""

    shape = (8, 8, 1)

    def __len__(self):
        return len(IMAGES)

    def read(self, indices):
        if 41 in np.arange(len(self))[indices]:
            raise DataError("Image 41 must be readable", "damage", "Write it again.")
        return IMAGES[indices]


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray")
    with connected(TWO) as ray:
        yield ray


def new() -> CAE:
    return CAE((8, 8, 1), 3, [4], seed=0, device="cpu", precision="float32")


def test_a_killed_worker_changes_nothing_in_what_one_process_learns(cluster, tmp_path):
    alone, shared = new(), new()
    history = alone.model.fit(IMAGES, batch_size=8, epochs=2, verbose=0, validation_data=IMAGES[:9])
    found = fit_with(
        TWO,
        shared,
        IMAGES,
        batch_size=8,
        epochs=2,
        validation_data=IMAGES[:9],
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


def test_what_is_wrong_with_an_image_is_said_as_by_one_process(cluster, tmp_path):
    with pytest.raises(DataError, match=r"^Image 41 must be readable\. Received damage\. Write it again\.$"):
        fit_with(TWO, new(), Damaged(), batch_size=20, epochs=1, checkpoint=tmp_path / "kept")


def test_other_versions_are_refused(cluster, monkeypatch):
    versions.demand_same_versions(cluster)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9")  # in this process alone
    with pytest.raises(OptionError, match=r"Received caescope 0\.\d\S* on \S+ and 9\.9 here\. Install caesc"):
        versions.demand_same_versions(cluster)
    with pytest.raises(OptionError, match=r"Received no-such missing on \S+ and 9\.9 here"):
        versions.demand_same_versions(cluster, ("no-such",))


def test_a_cluster_that_is_too_small_is_refused(cluster):
    with pytest.raises(OptionError, match=r"^99 workers must have 99 processors and 0 GPUs\. Received a"):
        connecting.demand_resources(cluster, Workers(99))
    with pytest.raises(OptionError, match=r"2 workers must have 2 processors and 1 GPUs"):
        connecting.demand_resources(cluster, Workers(2, gpus_each=0.5))


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "caescope", *map(str, arguments)]


def test_a_stopped_training_of_workers_goes_on(tmp_path):
    pytest.importorskip("ray")
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
    pytest.importorskip("ray")
    with running_cluster() as (address, client):
        said = subprocess.run(command("doctor", "--json", "--address", address), **TALK)
        assert json.loads(said.stdout)["cluster"].startswith(f"{address}, 1 machine, free 2 of 2 processors")
        how = ("--epochs", "1", "--workers", "2", "--address", client, "--json")
        said = subprocess.run(command("fit", "digits", "--out", tmp_path / "model", *how), **TALK)
        assert said.returncode == 0, said.stderr
        how = ("--out", tmp_path / "z.parquet", "--workers", "2", "--address", client)
        said = subprocess.run(command("encode", tmp_path / "model", "digits", *how), **TALK)
        assert said.returncode == 0, said.stderr
    assert read_latents(tmp_path / "z.parquet").latents.shape == (1797, 20)
    assert CAE(path=tmp_path / "model", load=True, device="cpu").options.latent_features == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "z.parquet"]


TALK = {"capture_output": True, "text": True, "env": CALM, "timeout": 240}


def running_cluster():
    """A cluster that another program started, as an administrator would."""
    from contextlib import contextmanager

    @contextmanager
    def run():
        port, client = free_port(), free_port()
        start = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--num-cpus=2"]
        start += [f"--port={port}", f"--ray-client-server-port={client}", "--include-dashboard=false"]
        process = subprocess.Popen(
            [*map(str, start), "--disable-usage-stats"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=CALM,
        )
        try:
            wait_for(lambda: answers(port) and answers(client), process)
            yield f"127.0.0.1:{port}", f"ray://127.0.0.1:{client}"
        finally:
            process.terminate()
            process.wait(60)

    return run()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def answers(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("address", ["ray://127.0.0.1:{}", "127.0.0.1:{}"])
def test_a_cluster_that_does_not_answer_is_said_at_once(address, tmp_path):
    pytest.importorskip("ray")
    asked = address.format(free_port())
    how = ("--workers", "2", "--address", asked)
    said = subprocess.run(command("fit", "digits", "--out", tmp_path / "model", "--quiet", *how), **TALK)
    assert said.returncode == 1
    assert said.stderr.startswith("caescope: address must be that of a Ray cluster that answers. Received")
    assert asked in said.stderr
    assert len(said.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_without_ray_workers_say_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"^Several workers need Ray\..*caescope\[ray\]"):
        connecting.import_ray()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"workers": 0}, "workers must be an integer of at least 1"),
        ({"workers": None, "address": "a:1"}, "address must come with workers"),
        ({"workers": None, "gpus_per_worker": 1}, "gpus_per_worker must come with workers"),
        ({"workers": 1, "address": "head"}, "address must be ray://host:port"),
        ({"workers": 1, "address": "ray://head:99999"}, "address must be ray://host:port"),
        ({"workers": 1, "gpus_per_worker": 1.5}, "gpus_per_worker must be a whole number of GPUs or a share"),
        ({"workers": 1, "gpus_per_worker": -1}, "gpus_per_worker must be"),
        ({"workers": 1, "gpus_per_worker": float("nan")}, "gpus_per_worker must be"),
        ({"workers": 1, "cpus_per_worker": 0}, "cpus_per_worker must be an integer of at least 1"),
    ],
)
def test_workers_that_cannot_be_had(given, sentence):
    with pytest.raises(OptionError, match=sentence):
        parse_workers(**given)


class Small:
    """An objective's way to fail for want of memory where more than some images come at once."""

    def __init__(self, objective, most: int, times: int = 99):
        self.objective, self.most, self.times, self.seen = objective, most, times, []

    def __call__(self, images, *rest):
        self.seen.append(len(images))
        if len(images) > self.most and self.times:
            self.times -= 1
            raise MemoryError
        return self.objective(images, *rest)


def gradients(most: int) -> tuple[np.ndarray, list[int]]:
    cae = new()
    learner = Learner(cae.model, ALONE, seed=0)
    learner.module = small = Small(cae.model.objective, most)
    images = cae.model._parse_pairs(IMAGES[:12], None).inputs
    learner.learn(images, images, whole(12), 0, 0.0)
    weights = [weight.grad.ravel() for weight in cae.model.objective.parameters()]
    return np.concatenate(weights), small.seen


def test_a_batch_that_does_not_fit_is_learned_in_halves_once():
    expected, seen = gradients(most=12)
    assert seen == [12]
    halved, seen = gradients(most=6)
    assert seen == [12, 6, 6]
    np.testing.assert_allclose(halved, expected, atol=1e-7)
    with pytest.raises(MemoryError):
        gradients(most=5)


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("ray.exceptions.OutOfMemoryError: Task was killed", "A worker must have the memory for its share"),
        ("ActorDiedError: The actor died", "Workers must live until training has ended. Received 4 attempts"),
    ],
)
def test_workers_that_died_are_said_in_a_sentence(reason, sentence):
    ray_train = pytest.importorskip("ray.train")
    error = as_sentence(ray_train.TrainingFailedError(reason))
    assert isinstance(error, TrainingError)
    assert str(error).startswith(sentence)


def test_errors_travel_between_processes_as_they_are():
    for error in (DataError("a must", "b", "Do c."), TrainingStopped("Training was stopped", 15)):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))

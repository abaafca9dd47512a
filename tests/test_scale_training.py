"""Who shares a training, and what a worker says of it; a real cluster is in `test_scale_cluster`."""

import os
import pickle
import socket
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from caescope import CAE
from caescope.errors import DataError, MissingDependencyError, OptionError, TrainingError, TrainingStopped
from caescope.model.learner import Learner, Step
from caescope.model.share import whole
from caescope.model.team import ALONE
from caescope.scale import connecting, training
from caescope.scale.training import as_sentence
from caescope.scale.workers import Workers, parse_workers

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")  # of Ray, by Ray
IMAGES = np.random.default_rng(0).random((60, 8, 8, 1), np.float32)


def new() -> CAE:
    return CAE((8, 8, 1), 3, [4], seed=0, device="cpu", precision="float32")


class Machines:
    """A cluster of some machines, each with processors and GPUs."""

    def __init__(self, *machines: tuple[int, int]):
        self.machines = machines

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": cpu, "GPU": gpu}} for cpu, gpu in self.machines]

    def cluster_resources(self):
        return {"CPU": sum(cpu for cpu, _ in self.machines), "GPU": sum(gpu for _, gpu in self.machines)}


@pytest.mark.parametrize(
    ("machines", "workers", "cpus"),
    [
        ([(2, 0)], Workers(2), 1),
        ([(16, 0)], Workers(3), 5),
        ([(6, 0), (2, 0)], Workers(2), 3),  # and not 4 each, of which the second would be waited for for ever
        ([(6, 0), (2, 0)], Workers(4), 2),
        ([(8, 2), (8, 0)], Workers(2, gpus_each=1), 4),
        ([(8, 2)], Workers(4, gpus_each=0.5), 2),
        ([(8, 0)], Workers(2, cpus_each=3), 3),
    ],
)
def test_workers_get_no_more_processors_than_leave_room_for_all(machines, workers, cpus):
    assert connecting.cpus_each(Machines(*machines), workers) == cpus
    connecting.demand_resources(Machines(*machines), workers)


@pytest.mark.parametrize(
    ("machines", "workers"),
    [
        ([(3, 0), (1, 0)], Workers(2, cpus_each=2)),
        ([(8, 2)], Workers(3, gpus_each=0.6)),  # no worker has parts of two
        ([(8, 0), (1, 2)], Workers(2, gpus_each=1)),
    ],
)
def test_workers_that_machines_have_no_room_for_are_refused(machines, workers):
    with pytest.raises(
        OptionError, match=r"on one machine\. Received a cluster of .* that has room for [12]\."
    ):
        connecting.demand_resources(Machines(*machines), workers)


def test_without_ray_workers_say_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    for demand in (connecting.import_ray, lambda: parse_workers(2)):  # the latter before anything is read
        with pytest.raises(MissingDependencyError, match=r"^Several workers need Ray\..*caescope\[ray\]"):
            demand()


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


class Forking:
    """A cluster that says so many times that it could start nothing for a client."""

    def __init__(self, failures: int):
        self.failures, self.asked = failures, 0

    def init(self, **options):
        self.asked += 1
        if self.asked <= self.failures:
            raise ConnectionError("Initialization failure from server:\n\nTraceback of the server")


@pytest.mark.parametrize(
    ("kind", "failures", "asked"), [("ray://", 0, 1), ("ray://", 1, 2), ("ray://", 2, 2), ("", 1, 1)]
)
def test_a_client_for_which_nothing_could_be_started_asks_once_more(kind, failures, asked):
    ray: Any = Forking(failures)
    with socket.create_server(("127.0.0.1", 0)) as server:
        workers = Workers(2, f"{kind}127.0.0.1:{server.getsockname()[1]}")
        if asked > failures:
            connecting._connect(ray, workers)
        else:
            with pytest.raises(OptionError, match=r"failure from server: Traceback of the server\. Check"):
                connecting._connect(ray, workers)
    assert ray.asked == asked


class Call:
    """A method of an actor that is in this process."""

    def __init__(self, method):
        self.remote = method


class LocalPost:
    """In place of the actor that keeps results."""

    def __init__(self):
        self.results: list = []
        self.end, self.has_result = Call(self.results.append), Call(lambda: bool(self.results))


def test_a_worker_names_the_file_that_it_does_not_see(tmp_path, monkeypatch):
    """Also where it is told so while it is given the images."""

    def get(thing):
        if thing == "images":
            raise FileNotFoundError("nothing of use")
        return thing

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get=get))
    monkeypatch.setattr(training, "use_cores", lambda threads: None)
    monkeypatch.setattr("caescope.model.team.team_of_group", lambda: ALONE)
    cae, post, files = new(), LocalPost(), (str(tmp_path), str(tmp_path / "a.svs"))
    about = (cae.options, cae.model.get_weights(), None, "float32", 0, "images", files, 8, 1, ())
    job = training.Job(*about, str(tmp_path / "kept"), 60, os.getcwd(), torch.get_num_threads())
    with pytest.raises(OptionError):
        training.learn({"job": [job], "post": post, "gpus": 0})
    [error] = post.results
    assert str(error).startswith(f"Workers must see the files of the images. Received no {tmp_path}/a.svs on")
    training.learn({"job": [job], "post": post, "gpus": 0})  # as when Ray starts it again: nothing is tried


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
    learner.learn(Step(images, images, whole(12), 0, 0.0))
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
    assert str(error).endswith("--resume goes on from it.")


def test_errors_travel_between_processes_as_they_are():
    for error in (DataError("a must", "b", "Do c."), TrainingStopped("Training was stopped", 15)):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))

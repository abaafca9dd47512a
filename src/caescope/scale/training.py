"""Training shared by workers, through Ray Train: each has the model, and learns its share of every batch."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from caescope.cae import CAE
from caescope.callbacks import Callback, CallbackList, Checkpoint, History
from caescope.errors import CaescopeError, TrainingError, TrainingStopped
from caescope.model.options import Options
from caescope.parallel import use_cores
from caescope.scale.connecting import connected, cpus_each
from caescope.scale.post import Asked, Post, Relay
from caescope.scale.seeing import demand_seen, files_of
from caescope.scale.workers import Workers
from caescope.signals import listening

RESTARTS = 3  # of all workers, after one of them has died; each goes on from the checkpoint
SECONDS_BETWEEN = 0.5  # that whoever waits looks for news; workers have to make way for it
SECONDS_TO_END = 1.0  # that Ray has once there is a result; its own affairs can take ten more
STORAGE = "ray"  # a folder beside the checkpoint, where Ray Train keeps its own notes


@dataclass(frozen=True)
class Job:
    """What every worker has to know.

    Attributes
    ----------
    options : Options
    weights : list of numpy.ndarray
        The first ones, the same for all.
    learning_rate : float or None
    precision : str
    seed : int
    images : object reference
        To those to learn and those to measure, as ``Model.fit`` takes them.
    files : tuple of str
        Where they are.
    batch_size, epochs : int
    callbacks : sequence of Callback
        That are called where the first worker is.
    checkpoint : str
        A folder that every worker sees.
    seconds : float
        As in `Checkpoint`.
    folder : str
        The working directory of whoever started the job.
    threads : int
        For each worker.
    """

    options: Options
    weights: list[np.ndarray]
    learning_rate: float | None
    precision: str
    seed: int
    images: Any
    files: tuple[str, ...]
    batch_size: int
    epochs: int
    callbacks: Sequence[Callback]
    checkpoint: str
    seconds: float
    folder: str
    threads: int


def fit_with(
    workers: Workers,
    cae: CAE,
    images: Any,
    *,
    batch_size: int,
    epochs: int,
    validation_data: Any = None,
    shown: Sequence[Callback] = (),
    callbacks: Sequence[Callback] = (),
    checkpoint: str | os.PathLike | Checkpoint,
) -> History:
    """Train as ``cae.model.fit`` does, shared by workers; afterwards the model has what they learned.

    Parameters
    ----------
    workers : Workers
    cae : CAE
    images, batch_size, epochs, validation_data
        As in ``Model.fit``; a batch is shared by all workers, so the result is that of one.
    shown : sequence of Callback
        That are called here, such as a progress bar.
    callbacks : sequence of Callback
        That are called where the first worker is, and can be pickled; they see the model.
    checkpoint : path-like or Checkpoint
        A folder that all workers see; training goes on from what is in it.

    Returns
    -------
    History

    Raises
    ------
    OptionError, MissingDependencyError
        As in `caescope.scale.connecting.connected`.
    TrainingError
        If a worker died more often than it is started again, or ran out of memory.
    CaescopeError
        Whatever training raises where a worker is.
    TrainingStopped
        At Ctrl-C or SIGTERM, once the checkpoint is written.
    """
    model, kept = cae.model, checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
    with connected(workers) as ray:
        job = Job(
            cae.options,
            model.get_weights(),
            model.learning_rate,
            model.precision,
            model.seed,
            ray.put((images, validation_data)),
            (*files_of(images), *files_of(validation_data)),
            batch_size,
            epochs,
            tuple(callbacks),
            str(kept.folder.absolute()),
            kept.seconds,
            os.getcwd(),
            cpus_each(ray, workers),
        )
        post = ray.remote(num_cpus=0, max_concurrency=4)(Post).remote()
        steps = -(-len(images) // batch_size)
        followers = CallbackList(shown)
        followers.attach(model, {"epochs": epochs, "steps": steps, "verbose": 0, "images": None})
        _run(ray, _trainer(workers, job, ray.put(job), post), post, followers)
        result = ray.get(post.result.remote())
    if isinstance(result, CaescopeError | TrainingStopped):
        raise result
    model.set_weights(result["weights"])
    model.history = history = History()
    history.set_state(result["history"])
    return history


def _run(ray: Any, trainer: Any, post: Any, followers: CallbackList) -> None:
    """Let workers train, and tell the followers of it meanwhile."""
    failures: list[BaseException] = []

    def train() -> None:
        try:
            trainer.fit()
        except BaseException as error:  # whatever it is, it is raised where the training was asked for
            failures.append(error)

    def follow() -> bool:
        news, has_result = ray.get(post.news.remote())
        for hook, arguments in news:
            getattr(followers, hook)(*arguments)
        return has_result or not thread.is_alive()

    thread = threading.Thread(target=train, daemon=True, name="caescope")
    heard: list[int] = []  # a handler does no more than that, since Ray may be in the middle of something
    with listening(heard.append):
        thread.start()
        while not follow():
            thread.join(SECONDS_BETWEEN)
            if heard:
                ray.get(post.stop.remote(heard.pop()))
        thread.join(SECONDS_TO_END)
        follow()  # what came beside the result
    if failures and not isinstance(ray.get(post.result.remote()), CaescopeError):
        raise as_sentence(failures[0]) from None


def _trainer(workers: Workers, job: Job, reference: Any, post: Any) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    gpus = workers.gpus_each
    resources = {"CPU": float(job.threads)} | ({"GPU": gpus} if gpus else {})
    return TorchTrainer(
        learn,
        train_loop_config={"job": [reference], "post": post, "gpus": gpus},
        # Processes that share a GPU cannot talk through NCCL
        torch_config=TorchConfig(backend="nccl" if gpus >= 1 else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=workers.number, use_gpu=gpus > 0, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name=STORAGE,
            storage_path=os.path.dirname(job.checkpoint),
            failure_config=FailureConfig(max_failures=RESTARTS),
        ),
    )


def learn(config: dict[str, Any]) -> None:
    """Train in one of the workers; Ray Train calls it in each."""
    import ray
    import torch

    from caescope.model.team import team_of_group

    job: Job = ray.get(config["job"][0])
    post = config["post"]
    if ray.get(post.has_result.remote()):  # what was at fault before will be so again
        return
    os.chdir(job.folder)
    torch.set_num_threads(job.threads)
    use_cores(job.threads)
    team = team_of_group()
    try:
        with demand_seen(job.files):
            result = _learn(job, post, team, "cuda" if config["gpus"] else "cpu")
    except (CaescopeError, TrainingStopped) as error:
        ray.get(post.end.remote(error))
        if isinstance(error, CaescopeError):
            raise  # the others wait for this one
        return
    if team.leads:
        ray.get(post.end.remote(result))


def _learn(job: Job, post: Any, team: Any, device: str) -> dict[str, Any]:
    import ray

    images, held_out = ray.get(job.images)
    cae = CAE(**job.options.as_dict(), seed=job.seed, device=device, precision=job.precision)
    cae.model.set_weights(job.weights)
    cae.model.learning_rate = job.learning_rate
    history = cae.model.fit(
        images,
        batch_size=job.batch_size,
        epochs=job.epochs,
        verbose=0,
        callbacks=[Relay(post), *job.callbacks] if team.leads else [],
        validation_data=held_out,
        checkpoint=Asked(job.checkpoint, job.seconds, post),
        team=team,
    )
    return {"weights": cae.model.get_weights(), "history": history.get_state()}


def as_sentence(error: BaseException) -> BaseException:
    """Return what Ray says of workers that died as one sentence, and another error as it is."""
    from ray.train import TrainingFailedError

    if not isinstance(error, TrainingFailedError):
        return error
    text = str(error)
    if "OutOfMemory" in text or "memory" in text.lower():
        return TrainingError(
            "A worker must have the memory for its share of a batch",
            "a worker that the system ended for want of memory",
            "Use a smaller batch_size, fewer workers on each machine, or smaller images; the checkpoint is "
            "kept, and --resume goes on from it.",
        )
    reason = " ".join(text.split())[:300].rstrip(".")
    return TrainingError(
        "Workers must live until training has ended",
        f"{RESTARTS + 1} attempts that failed, the last with: {reason}",
        "Look at their logs; the checkpoint is kept, and --resume goes on from it.",
    )

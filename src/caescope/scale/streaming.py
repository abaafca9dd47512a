"""Many small tasks, done by actors through Ray Data, and their answers as they come."""

import json
import logging
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

import pyarrow as pa

from caescope import errors
from caescope.errors import CaescopeError, OptionError
from caescope.parallel import blocks_of
from caescope.scale.connecting import cpus_each
from caescope.scale.workers import Workers

ATTEMPTS = 3  # at a task whose worker died, beyond the first
MOST_BLOCKS = 10_000  # of tasks: Ray keeps some facts of each
ERROR = "error"  # what an answer says where the task was at fault


def stream(
    ray: Any, actor: type, shared: Any, tasks: Sequence[Mapping[str, int]], workers: Workers
) -> Iterator[dict[str, Any]]:
    """Yield what actors answer to tasks, in whatever order they end.

    Parameters
    ----------
    ray : module
        As `caescope.scale.connecting.connected` yields it.
    actor : type
        Called with a batch of one task, a dict of arrays, it returns a dict of lists of one answer, in which
        `answer_with_error` puts what is wrong with the input.
    shared : object reference
        To what all actors need, kept once on each machine. They get it in a list, as Ray would follow it
        otherwise. It must be kept by the caller meanwhile, so that an actor that starts again finds it.
    tasks : sequence of mapping of str to int
    workers : Workers

    Raises
    ------
    CaescopeError
        The first that is in an answer; the other tasks are given up.
    OptionError
        If a task ends the process that works on it, however often it is tried.
    """
    through = _through_client if ray.util.client.ray.is_connected() else _directly
    with closing(through(ray, actor, shared, tasks, workers)) as answers:
        for answer in answers:
            if text := answer.pop(ERROR):
                raise error_from_text(text)
            yield answer


@contextmanager
def answer_with_error(**answer: Any) -> Iterator[dict[str, Any]]:
    """Yield an answer, which what goes wrong inside with the input becomes a part of.

    As an exception it would come back as another, with Ray's traceback, and after other tries.
    """
    answer[ERROR] = ""
    try:
        yield answer
    except (CaescopeError, OSError) as error:
        answer[ERROR] = error_as_text(error)


def error_as_text(error: CaescopeError | OSError) -> str:
    """Return what `error_from_text` makes the same error of."""
    if isinstance(error, CaescopeError):
        return json.dumps([type(error).__name__, error.must, error.received, error.advice])
    return json.dumps([OSError.__name__, str(error)])


def error_from_text(text: str) -> Exception:
    """Return the error that a worker met.

    >>> error_from_text(error_as_text(OptionError("k must be 1", "k=0", "Use 1.")))
    OptionError('k must be 1', 'k=0', 'Use 1.')
    """
    name, *parts = json.loads(text)
    return OSError(*parts) if name == OSError.__name__ else getattr(errors, name)(*parts)


def _directly(
    ray: Any, actor: type, shared: Any, tasks: Sequence[Mapping[str, int]], workers: Workers
) -> Generator[dict[str, Any]]:
    dataset = _dataset(ray, actor, shared, tasks, workers)
    with _quiet(), _naming_death(ray):
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from batch.to_pylist()


def _through_client(ray: Any, *what: Any) -> Generator[dict[str, Any]]:
    """Let a process of the cluster run Ray Data, which a client cannot, and ask it for the answers."""
    actor, shared, *rest = what
    conductor = ray.remote(num_cpus=0)(_Conductor).remote(actor, [shared], *rest)
    try:
        while answers := ray.get(conductor.next.remote()):
            yield from answers
    finally:
        ray.kill(conductor)


class _Conductor:
    """Takes answers in the place of a client."""

    def __init__(self, actor: type, shared: list[Any], tasks: Sequence[Mapping[str, int]], workers: Workers):
        import ray

        self._answers = _directly(ray, actor, shared[0], tasks, workers)

    def next(self) -> list[dict[str, Any]]:
        """Return the next answer, if there is one."""
        with answer_with_error() as problem:
            return [*islice(self._answers, 1)]
        return [problem]


def _dataset(ray: Any, actor: type, shared: Any, tasks: Sequence[Mapping[str, int]], workers: Workers) -> Any:
    """Return the answers as Ray Data has them: nothing is done before somebody takes them."""
    from ray import data

    with warnings.catch_warnings(action="ignore"):  # Ray's, of its own options
        context = data.DataContext.get_current().copy()
        context.enable_progress_bars = context.print_on_execution_start = False
    with data.DataContext.current(context), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        return data.from_arrow(_tables(tasks)).map_batches(
            actor,
            fn_constructor_args=([shared],),
            batch_size=1,
            compute=data.ActorPoolStrategy(size=workers.number),
            num_cpus=cpus_each(ray, workers),
            num_gpus=workers.gpus_each,
            max_task_retries=ATTEMPTS,  # Ray Data's own default is for ever
        )


def _tables(tasks: Sequence[Mapping[str, int]]) -> list[pa.Table]:
    """Return the tasks as tables, one task in each unless there are very many.

    Made here, they need no processor to be read; all of those may belong to the actors.
    """
    some = blocks_of(len(tasks), -(-len(tasks) // MOST_BLOCKS))
    return [pa.Table.from_pylist([dict(task) for task in tasks[rows]]) for rows in some]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Ray Data logs from the screen."""
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _naming_death(ray: Any) -> Iterator[None]:
    """Turn the death of a worker, again and again, into one sentence."""
    try:
        yield
    except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError) as error:
        raise OptionError(
            "A worker must stay alive, and have memory, for as long as its task takes",
            f"one that ended {ATTEMPTS + 1} times at the same task, as those do that take too much memory",
            "Use fewer workers on each machine, fewer cpus_per_worker, or machines with more memory.",
        ) from error

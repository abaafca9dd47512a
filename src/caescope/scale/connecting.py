"""The Ray cluster that a job runs on: one that is there already, or one of this machine for as long."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caescope.errors import OptionError
from caescope.parallel import count_cores
from caescope.scale.versions import demand_same_versions
from caescope.scale.workers import Workers, missing_ray, parse_address
from caescope.signals import kept_handlers

SECONDS_TO_ANSWER = 10.0  # that a cluster has; Ray itself would wait for minutes
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing leaves the machine
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns of what will change there
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_DEDUP_LOGS": "1",
}


@contextmanager
def connected(workers: Workers) -> Iterator[Any]:
    """Yield the module ``ray``, connected to a cluster that has what the workers need.

    A cluster of this machine is started where there is none, and stopped afterwards. One that the program is
    connected to already is used as it is.

    Raises
    ------
    MissingDependencyError
        If Ray is not installed.
    OptionError
        If the cluster does not answer, is too small, or has other versions than this machine.
    """
    ray = import_ray()
    is_ours = not ray.is_initialized()
    if is_ours:
        with kept_handlers():  # Ray would hear SIGTERM for ever; its processes end with this one anyway
            _connect(ray, workers)
    try:
        demand_same_versions(ray)
        demand_resources(ray, workers)
        yield ray
    finally:
        if is_ours:
            ray.shutdown()


def cpus_each(ray: Any, workers: Workers) -> int:
    """Return how many processors a worker has: by default the most that leave room for all, at least 1."""
    if workers.cpus_each:
        return workers.cpus_each
    machines = _machines(ray)
    most = max((int(machine.get("CPU", 0)) for machine in machines), default=1)
    allowed = (n for n in range(most, 1, -1) if _room(machines, n, workers.gpus_each) >= workers.number)
    return next(allowed, 1)


def _machines(ray: Any) -> list[dict[str, float]]:
    """Return what each machine of the cluster has."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _room(machines: list[dict[str, float]], cpus: int, gpus: float) -> int:
    """Return for how many workers there is room; each is on one machine, and on whole GPUs or one's part."""
    room = [int(machine.get("CPU", 0)) // cpus for machine in machines]
    if gpus:
        on_gpus = [int(machine.get("GPU", 0)) for machine in machines]
        on_gpus = [there * int(1 / gpus) if gpus < 1 else there // int(gpus) for there in on_gpus]
        room = map(min, room, on_gpus)
    return sum(room)


def import_ray() -> Any:
    """Return the module ``ray``, told to be quiet; raise `MissingDependencyError` where there is none."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if _has_token() and "ray" not in sys.modules:  # which reads it when it is imported
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError as error:
        raise missing_ray() from error
    return ray


def address_of(workers: Workers) -> str | None:
    """Return the address of the cluster, or None for one of this machine; RAY_ADDRESS counts, as in Ray."""
    there = os.environ.get("RAY_ADDRESS")
    return workers.address or (parse_address(there) if there and there != "local" else None)


def _has_token() -> bool:
    """Tell whether there is a secret for clusters that ask for one, as those do that `ray start` starts here.

    Ray itself sends it only where RAY_AUTH_MODE says so.
    """
    is_given = any(name in os.environ for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return is_given or (Path.home() / ".ray" / "auth_token").is_file()


def _connect(ray: Any, workers: Workers) -> None:
    address = address_of(workers)
    common = {"logging_level": "ERROR", "log_to_driver": False, "configure_logging": True}
    if address is None:
        cpus = max(count_cores(), workers.number * (workers.cpus_each or 1))
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, **common)
        return
    if address != "auto":
        _demand_answer(address)
    try:
        _join(ray, address, **common)
    except (ConnectionError, RuntimeError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".:") or repr(error)
        raise _unreachable(address, reason) from error


def _join(ray: Any, address: str, **options: Any) -> None:
    try:
        ray.init(address=address, **options)
    except ConnectionError:
        if not address.startswith("ray://"):
            raise
        ray.init(address=address, **options)  # now and then what the head forks for a client dies


def _demand_answer(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from error


def _unreachable(address: str, reason: str) -> OptionError:
    return OptionError(
        "address must be that of a Ray cluster that answers",
        f"{address}: {reason}",
        "Check that it runs (ray status) and that its port can be reached from here.",
    )


def demand_resources(ray: Any, workers: Workers) -> None:
    """Refuse a job that would wait for ever."""
    cpus, gpus = workers.cpus_each or 1, workers.gpus_each
    room = _room(_machines(ray), cpus, gpus)
    if room >= workers.number:
        return
    there = ray.cluster_resources()
    raise OptionError(
        f"{workers.number} workers must each find {cpus} processors and {gpus:g} GPUs on one machine",
        f"a cluster of {there.get('CPU', 0):g} and {there.get('GPU', 0):g} that has room for {room}",
        "Ask for fewer workers or less for each, or for a larger cluster.",
    )

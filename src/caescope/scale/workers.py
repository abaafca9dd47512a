"""How many processes share a job, and where they are: parsed once."""

import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from caescope.errors import MissingDependencyError, OptionError
from caescope.parsing import parse_integer


@dataclass(frozen=True)
class Workers:
    """Processes that share a job.

    Attributes
    ----------
    number : int
        How many there are.
    address : str or None
        Of the Ray cluster that they are on: ``ray://host:10001``, ``host:6379`` or ``auto``; None for
        processes of this machine.
    gpus_each : float
        GPUs for each of them; 0 is none, and a share of one lets several have the same.
    cpus_each : int or None
        Processors for each; None for as many as there are for everyone.
    """

    number: int
    address: str | None = None
    gpus_each: float = 0.0
    cpus_each: int | None = None


def parse_workers(
    workers: Any, address: Any = None, gpus_per_worker: Any = 0, cpus_per_worker: Any = None
) -> Workers | None:
    """Return the processes that were asked for, or None for this one alone.

    Raises
    ------
    OptionError
        If a number cannot be used, or something is said of workers and not how many there are.
    MissingDependencyError
        If Ray is not installed.

    Examples
    --------
    >>> parse_workers(2)
    Workers(number=2, address=None, gpus_each=0.0, cpus_each=None)
    """
    if workers is None:
        given = {"address": address, "gpus_per_worker": gpus_per_worker, "cpus_per_worker": cpus_per_worker}
        if asked := [name for name, value in given.items() if value]:
            raise OptionError(
                f"{', '.join(asked)} must come with workers", "no workers", "Say how many, such as workers=2."
            )
        return None
    parsed = Workers(
        parse_integer(workers, "workers"),
        None if address is None else parse_address(address),
        _parse_gpus(gpus_per_worker),
        None if cpus_per_worker is None else parse_integer(cpus_per_worker, "cpus_per_worker"),
    )
    if find_spec("ray") is None:  # said before anything is read; whether it works is found out later
        raise missing_ray()
    return parsed


def missing_ray() -> MissingDependencyError:
    """Return the error of workers where Ray is not installed."""
    return MissingDependencyError(
        "Several workers need Ray", "no package ray", 'Install it: pip install "caescope[ray]".'
    )


def parse_address(address: Any) -> str:
    """Return the address of a cluster, or raise `OptionError` where it cannot be one."""
    host, colon, port = str(address).removeprefix("ray://").rpartition(":")
    if address == "auto" or (host and colon and port.isdecimal() and 0 < int(port) < 2**16):
        return str(address)
    raise OptionError(
        "address must be ray://host:port, host:port or auto",
        f"address={address!r}",
        "Use for example ray://head:10001.",
    )


def _parse_gpus(gpus: Any) -> float:
    try:
        number = -1.0 if isinstance(gpus, bool) else float(gpus)
    except (TypeError, ValueError):
        number = -1.0
    if 0 <= number < math.inf and (number < 1 or number == int(number)):
        return number
    raise OptionError(
        "gpus_per_worker must be a whole number of GPUs or a share of one",
        f"gpus_per_worker={gpus!r}",
        "Use for example 1, 0.5, or 0 for none.",
    )

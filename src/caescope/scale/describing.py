"""The cluster that workers would be on, for people."""

import importlib.util
from typing import Any

from caescope.errors import CaescopeError
from caescope.parallel import count_cores
from caescope.scale.connecting import address_of, connected
from caescope.scale.workers import Workers, parse_workers


def describe_cluster(address: str | None = None) -> str:
    """Return in one line where workers would be, and what there is; nothing is started.

    Parameters
    ----------
    address : str, optional
        As in `Workers`; by default that of RAY_ADDRESS, or this machine.
    """
    if importlib.util.find_spec("ray") is None:
        return 'none: pip install "caescope[ray]"'
    try:
        workers = parse_workers(1, address)
        assert workers is not None
        where = address_of(workers)
        return f"this machine, {count_cores()} processors" if where is None else _ask(workers, where)
    except CaescopeError as error:
        return str(error)


def _ask(workers: Workers, where: str) -> str:
    with connected(workers) as ray:
        nodes = sum(node["Alive"] for node in ray.nodes())
        has, free = ray.cluster_resources(), ray.available_resources()
    parts = [f"{_of(has, free, 'CPU')} processors"]
    parts += [f"{_of(has, free, 'GPU')} GPUs"] if has.get("GPU") else []
    return f"{where}, {nodes} machine{'' if nodes == 1 else 's'}, free {' and '.join(parts)}"


def _of(has: dict[str, Any], free: dict[str, Any], kind: str) -> str:
    return f"{free.get(kind, 0):g} of {has.get(kind, 0):g}"

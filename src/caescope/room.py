"""How much memory and disk space this process can have."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Return how many bytes of memory this process can have, with what it holds already.

    That is what it holds and the least of what is free: in the machine, within the limits of the control
    groups that the process is in (containers and batch systems set them; versions 1 and 2), and within its
    own limit of address space (``ulimit -v``). Memory that only caches files counts as free, swap does not.

    Returns
    -------
    int or None
        Bytes; None where the system does not tell, as on Windows. macOS tells at most the machine's memory.

    Examples
    --------
    >>> memory = available_memory()
    >>> memory is None or memory > 2**20
    True
    """
    held = _status("VmRSS") or 0
    free = [
        value for value in (_free_in_machine(), *_free_in_groups(), _free_addresses()) if value is not None
    ]
    return held + max(0, min(free)) if free else None


def available_disk(folder: Path) -> int:
    """Return how many bytes this user may still write into a folder, which need not exist yet.

    Quotas are not known here.

    Examples
    --------
    >>> available_disk(Path("not") / "there" / "yet") == available_disk(Path())
    True
    """
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())
    return shutil.disk_usage(there).free


def _free_in_machine() -> int | None:
    """Return what the kernel could give without swapping; elsewhere than in Linux, all that there is."""
    if (free := _field(PROC / "meminfo", "MemAvailable:")) is not None:
        return free * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf, and other systems other names
        return None


def _free_in_groups() -> Iterator[int]:
    """Yield what is free in each control group with a limit, from this process's own to the outermost."""
    for line in _read(PROC / "self" / "cgroup").splitlines():
        _number, kinds, path = line.split(":", 2)
        names = ("memory.max", "memory.current", "inactive_file")
        roots = [CGROUPS, CGROUPS / "unified"]
        if "memory" in kinds.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            roots = [CGROUPS / "memory"]
        elif kinds:
            continue
        inner = PurePosixPath(path).relative_to("/")
        for group in (root / part for root in roots for part in (inner, *inner.parents)):
            limit, used = (_integer(_read(group / name)) for name in names[:2])
            if limit is not None and used is not None:
                yield limit - used + (_field(group / "memory.stat", names[2]) or 0)


def _free_addresses() -> int | None:
    """Return how much more this process may map; that it maps more than it holds is within the limit, too."""
    if sys.platform == "win32":
        return None
    import resource

    limit, used = resource.getrlimit(resource.RLIMIT_AS)[0], _status("VmSize")
    return None if limit == resource.RLIM_INFINITY or used is None else limit - used


def _status(name: str) -> int | None:
    kib = _field(PROC / "self" / "status", f"{name}:")
    return None if kib is None else kib * 1024


def _field(file: Path, name: str) -> int | None:
    """Return the number after a name that begins a line."""
    lines = (line.split() for line in _read(file).splitlines())
    return next((_integer(words[1]) for words in lines if len(words) > 1 and words[0] == name), None)


def _integer(text: str) -> int | None:
    """Return a number, or None for ``max``, which is no limit, and for what is not there."""
    return int(text) if text.strip().isdecimal() else None


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""

"""What the machine is, and what it gives at this moment: two fixed kernels and the memory of this process."""

import math
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

MIB = 2**20


def processor() -> str:
    """Return the processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that ``work`` takes, up to its last kernel."""
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


def matmul_flops(device: torch.device, dtype=torch.float32, size: int = 1024, repeats: int = 7) -> float:
    """Return the FLOP/s of a product of two square matrices, the median over the repeats."""
    a, b = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty(size, size, device=device, dtype=dtype)
    seconds = [seconds_of(lambda: torch.mm(a, b, out=out), device) for _ in range(repeats + 1)]
    return 2 * size**3 / statistics.median(seconds[1:])  # the first one warms up


def copy_bandwidth(device: torch.device, mib: int = 64, repeats: int = 7) -> float:
    """Return the bytes a second, read and written, of a copy in the device's memory, the median."""
    source = torch.ones(mib * MIB // 4, device=device)
    target = torch.empty_like(source)
    seconds = [seconds_of(lambda: target.copy_(source), device) for _ in range(repeats + 1)]
    return 2 * mib * MIB / statistics.median(seconds[1:])


def status_mib(field: str) -> float:
    """Return a field of /proc/self/status in MiB: VmRSS is what this process holds, VmHWM its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what ``work`` returns in a new process, which has held no memory before."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def speed(device: torch.device) -> float:
    """Return how fast the device is at this moment, in no unit: half as fast at both kernels is half of it.

    It is the geometric mean of GFLOP/s and GB/s, for networks this small want both.
    """
    return math.sqrt(matmul_flops(device) / 1e9 * copy_bandwidth(device) / 1e9)

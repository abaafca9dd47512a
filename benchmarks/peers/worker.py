"""One contender in a process of its own: reads one task from each line of standard input, answers in JSON."""

import json
import os
import sys
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import contenders
import numpy as np

N_IMAGES = 20_480  # every batch size divides it, so nothing is compiled twice
answers = os.fdopen(os.dup(1), "w")  # what libraries print goes elsewhere
os.dup2(2, 1)


def peak_mib() -> float:
    """Return the most memory this process ever held; getrusage would count the parent's, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def throughput(contender, train: np.ndarray, batch: int, n_images: int = N_IMAGES) -> dict:
    """Train once over some images and return how many a second."""
    started = time.perf_counter()
    contender.epoch(train[:n_images], batch)
    return {"images_per_second": n_images / (time.perf_counter() - started)}


def quality(contender, train: np.ndarray, test: np.ndarray, target: float, limit: float) -> dict:
    """Train by the recipe until the test MSE is reached; compiling and measuring do not count."""
    contender.compile(train)
    seconds, epochs, error = 0.0, 0, np.inf
    while error > target and seconds < limit:
        started = time.perf_counter()
        epochs += contender.recipe(train)
        seconds += time.perf_counter() - started
        error = float(np.mean((contender.predict(test) - test) ** 2))
    return {"seconds": seconds, "epochs": epochs, "mse": error, "reached": error <= target}


def main() -> None:
    name, path = sys.argv[1:]
    with np.load(path) as arrays:
        train, test = arrays["train"], arrays["test"]
    contender = contenders.make(name)
    for line in sys.stdin:
        task = json.loads(line)
        what = task.pop("do")
        if what == "throughput":
            answer = throughput(contender, train, **task)
        else:
            answer = quality(contender, train, test, **task)
        answer["peak_mib"] = peak_mib()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

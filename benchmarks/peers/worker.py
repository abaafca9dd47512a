"""One contender in a process of its own: reads one task from each line of standard input, answers in JSON.

python worker.py NAME DATA            trains, with the contender of that name
python worker.py NAME DATA MODEL      encodes, with the encoder of that name and a model folder's weights
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import contenders
import encoders
import numpy as np

N_IMAGES = 20_480  # every batch size divides it, so nothing is compiled twice
answers = os.fdopen(os.dup(1), "w")  # what libraries print goes elsewhere
os.dup2(2, 1)


def peak_mib() -> float:
    """Return the most memory this process ever held; getrusage would count the parent's, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def throughput(contender, train: np.ndarray, batch: int, n_images: int = N_IMAGES) -> dict:
    """Train new weights once over some images and return how many a second.

    Every batch size and round starts with the same weights, so that none is measured on a network that has
    trained longer than another's.
    """
    contender.restore(contender.untrained)
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


def encode(encoder, images: np.ndarray, batch: int | None, file: str) -> dict:
    """Encode all images, return how many a second, and leave the latents in a file."""
    started = time.perf_counter()
    latents = encoder.encode(images, batch)
    seconds = time.perf_counter() - started
    np.save(file, latents)
    return {"images_per_second": len(images) / seconds}


def main() -> None:
    name, path, *model = sys.argv[1:]
    with np.load(path) as arrays:
        train, test = arrays["train"], arrays["test"]
    if model:
        contender = encoders.make(name, Path(model[0]))
    else:
        contender = contenders.make(name)
        contender.untrained = contender.weights()
    for line in sys.stdin:
        task = json.loads(line)
        what = task.pop("do")
        if what == "throughput":
            answer = throughput(contender, train, **task)
        elif what == "encode":
            answer = encode(contender, train, **task)
        else:
            answer = quality(contender, train, test, **task)
        answer["peak_mib"] = peak_mib()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

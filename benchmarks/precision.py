"""What encoding in bfloat16 gains, and what it costs, for a model and images that lie in memory.

    python benchmarks/precision.py runs/mnist/model ../shared/data/mnist/mnist.pkl.gz

speed     images per second of encoder.predict and of decoder.predict, in turns, medians
off       how far the latents in bfloat16 are from those in float32, root mean square, as a share of each
          latent's deviation: the mean over latents, and the worst
MSE       of the reconstructions
probe     one versus rest on the test images, where there are labels
clusters  how far KMeans of 20 clusters agrees (adjusted Rand index) between two seeds on the latents in
          float32, and between those and the latents in bfloat16
"""

import argparse
import time
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.metrics import adjusted_rand_score

from caescope.analysis.clustering import kmeans
from caescope.analysis.latents import flatten_latents
from caescope.analysis.probe import logistic_ovr
from caescope.analysis.reconstruction import image_errors
from caescope.cae import CAE
from caescope.data.opening import Source
from caescope.data.splitting import split_source
from caescope.source_options import parse_source_options

NUMBERS = ("float32", "bfloat16")
K = 20


def speeds(caes: dict[str, CAE], images: np.ndarray, codes: np.ndarray, turns: int) -> dict[str, list[float]]:
    """Return images per second of each encoder and decoder, for each of the precisions."""
    works = {
        (half, name): (getattr(cae, half), given)
        for half, given in (("encoder", images), ("decoder", codes))
        for name, cae in caes.items()
    }
    seconds = {key: [] for key in works}
    for turn in range(turns + 1):
        for key, (network, given) in works.items():
            started = time.perf_counter()
            network.predict(given)
            if turn:  # the first prepares
                seconds[key].append(time.perf_counter() - started)
    return {
        f"{half}, images/s": [len(images) / median(seconds[half, name]) for name in caes]
        for half in ("encoder", "decoder")
    }


def probe(source: Source, latents: np.ndarray) -> float:
    train, test = (source.split == part for part in ("train", "test"))
    return logistic_ovr(latents[train], source.labels[train], latents[test], source.labels[test]).test


def measure(source: Source, caes: dict[str, CAE], turns: int) -> dict[str, list[float]]:
    """Return figures of float32 and of bfloat16; those that compare the two have only the latter."""
    images = source.read(np.arange(len(source)))
    codes = [cae.encoder.predict(images) for cae in caes.values()]
    found = speeds(caes, images, codes[0], turns)
    found["MSE"] = [
        float(image_errors(images, cae.decoder.predict(z)).mean())
        for cae, z in zip(caes.values(), codes, strict=True)
    ]
    exact, fast = map(flatten_latents, codes)
    off = np.sqrt(((fast - exact) ** 2).mean(0)) / exact.std(0)
    found |= {"off, mean": [float(off.mean())], "off, worst": [float(off.max())]}
    if source.labels is not None:
        found["one versus rest, test"] = [probe(source, z) for z in (exact, fast)]
    here, other, there = (kmeans(z, K, seed).labels for z, seed in ((exact, 0), (exact, 1), (fast, 0)))
    found["clusters"] = [adjusted_rand_score(here, other), adjusted_rand_score(here, there)]
    return found


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("model", type=Path)
    parser.add_argument("source")
    parser.add_argument("--resize", type=int, help="side of the images, where the model's differs")
    parser.add_argument("--turns", type=int, default=7)
    arguments = parser.parse_args()
    caes = {name: CAE(path=arguments.model, load=True, predict_precision=name) for name in NUMBERS}
    source = split_source(parse_source_options({"resize": arguments.resize}).find(arguments.source))
    table = Table("figure", *NUMBERS)
    for name, values in measure(source, caes, arguments.turns).items():
        texts = [f"{value:,.0f}" if value > 100 else f"{value:.4f}" for value in values]
        table.add_row(name, *([""] * (2 - len(texts))), *texts)
    Console().print(table)


if __name__ == "__main__":
    main()

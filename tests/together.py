"""Trainings of a team, a process each: ``python together.py CASE RANK SIZE FOLDER`` writes what came out."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caescope import CAE
from caescope.callbacks import Callback, Checkpoint, EarlyStopping
from caescope.errors import TrainingStopped
from caescope.model.team import ALONE, Team, team_of_group

IMAGES = np.random.default_rng(0).random((45, 8, 8, 1), np.float32)
COLOURED = np.random.default_rng(1).random((45, 8, 8, 3), np.float32)
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "residual": {"architecture": "residual"},
    "denoising": {"objective": "denoising"},
    "invariant": {"objective": "invariant"},
    "coloured": {"objective": "invariant", "views": "histology"},
    "variational": {"objective": "variational"},
    "lasting": {"optimizer": "sgd"},
}
BATCH = 22  # so that an epoch's last batch has one image, fewer than there are processes


class Steps(Callback):
    """Keeps the loss so far after every batch."""

    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]))  # pyright: ignore


class Stop(Callback):
    """Ends training in the middle of an epoch."""

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = True


class Asked(Checkpoint):
    """A checkpoint that another process asks for, once."""

    def __init__(self, folder):
        super().__init__(folder, seconds=1e9)
        self.batches = 0

    def asked(self) -> int:
        self.batches += 1
        return 15 if self.batches == 4 else 0


def fit(case: str, team: Team, folder: Path, **more) -> dict[str, np.ndarray]:
    """Train, and return weights, latents, and the figures of every step and epoch."""
    images = COLOURED if case == "coloured" else IMAGES
    cae = CAE(images.shape[1:], 4, (3, 5), seed=3, device="cpu", precision="float32", **CASES[case])
    steps = Steps()
    more = {"epochs": 3, "callbacks": [steps]} | more
    history = cae.model.fit(
        images, batch_size=BATCH, validation_data=images[:7], verbose=0, team=team, **more
    )
    weights = np.concatenate([array.ravel() for array in cae.model.get_weights()])
    figures = {name: values for name, values in history.history.items() if name != "images_per_second"}
    return {"weights": weights, "steps": np.array(steps.losses)} | {
        f"history {name}": np.array(values) for name, values in figures.items()
    }


def stopped(team: Team, folder: Path) -> dict[str, np.ndarray]:
    """Train until asked to stop, and go on from the checkpoint."""
    with pytest.raises(TrainingStopped) as stop:
        fit("plain", team, folder, checkpoint=Asked(folder / "kept"))
    assert stop.value.signal == 15
    return fit("plain", team, folder, checkpoint=folder / "kept")


def main(case: str, rank: int, size: int, folder: Path) -> None:
    torch.set_num_threads(1)
    team = ALONE
    if size > 1:
        where = f"file://{folder / 'meeting'}"
        torch.distributed.init_process_group("gloo", init_method=where, rank=rank, world_size=size)
        team = team_of_group()
    for name in CASES if case == "all" else [case]:
        if name in CASES:
            np.savez(folder / f"{name}.{rank}.npz", **fit(name, team, folder))  # pyright: ignore
    if case == "all":
        early = [EarlyStopping(monitor="loss", patience=1, min_delta=1e9)]
        np.savez(folder / f"early.{rank}.npz", **fit("plain", team, folder, epochs=9, callbacks=early))  # pyright: ignore
        np.savez(folder / f"stop.{rank}.npz", **fit("plain", team, folder, callbacks=[Stop()]))  # pyright: ignore
        if size > 1:
            np.savez(folder / f"stopped.{rank}.npz", **stopped(team, folder))  # pyright: ignore
    if size > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))

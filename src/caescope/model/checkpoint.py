"""A training that can be gone on with: its state as one file, written when it is due or when it must stop."""

import json
import math
import signal
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from caescope.callbacks import CallbackList, Checkpoint
from caescope.differences import as_plain, describe_differences
from caescope.errors import OptionError, TrainingStopped
from caescope.files import decoding
from caescope.model.hdf5 import hash_weights
from caescope.model.state import Arrays, TrainingState
from caescope.model.team import ALONE, Team
from caescope.signals import NAMES, listening
from caescope.writing import write_atomically

FORMAT_VERSION = 2
RECORD = "record"
MAX_RECORD_BYTES = 64 * 2**20
HASHED = ("images", "validation images", "first weights")

Kept = tuple[dict[str, Any], Arrays]


class Keeper:
    """Keeps the state of one training; without a checkpoint it does nothing."""

    def __init__(
        self,
        checkpoint: Checkpoint | None,
        settings: dict[str, Any],
        state: TrainingState,
        callbacks: CallbackList,
        team: Team = ALONE,
    ):
        self.checkpoint, self.settings, self.state, self.callbacks = checkpoint, settings, state, callbacks
        self.team = team
        self.signal: int | None = None
        self.written = time.monotonic()

    def read(self) -> Kept | None:
        """Return the state that was kept, if any was.

        Raises
        ------
        FileFormatError
            If the file is damaged.
        OptionError
            If it is of another training.
        """
        if self.checkpoint is None:
            return None
        is_there = self.team.leads and self.checkpoint.path.exists()
        return self.team.told(
            read_state(self.checkpoint.path, self.settings, self.state) if is_there else None
        )

    def restore(self, kept: Kept | None) -> None:
        """Bring back what `read` returned."""
        if kept is None or self.checkpoint is None:
            return
        record, arrays = kept
        with decoding(self.checkpoint.path, "a checkpoint"):
            if self.team.leads:
                pairs = zip(self.callbacks.with_state(), record["callbacks"], strict=True)
                for i, (callback, state) in enumerate(pairs):
                    callback.set_state(_unpack(state, arrays, f"callback.{i}"))
        own = {name: array for name, array in arrays.items() if not name.startswith("callback.")}
        self.state.restore(own, record["state"])

    def after_batch(self) -> None:
        """Write the state if that is due, and stop if that was asked for."""
        if self.checkpoint is None:
            return
        self.between_batches()
        if time.monotonic() - self.written >= self.checkpoint.seconds:
            self.save()

    def after_epoch(self) -> None:
        """Write the state if nothing is left to do, or as after a batch."""
        if self.state.is_finished:
            self.save()
        else:
            self.after_batch()

    def news(self, model) -> tuple[int, int]:
        """Return whether this process is to stop, and the signal by which it was asked to, or 0."""
        asked = self.checkpoint.asked() if self.checkpoint and self.team.size > 1 and self.team.leads else 0
        return int(model.stop_training), asked

    def hear(self, model, stopped: int, number: int) -> bool:
        """Let this process stop where one of its team is to; return whether that is so."""
        model.stop_training, self.signal = bool(stopped), number or self.signal
        return bool(stopped or number)

    def agree(self, model) -> None:
        """Let all processes of a team stop where one of them is to."""
        if self.team.size > 1:
            self.hear(model, *self.team.largest(*self.news(model)))

    def between_batches(self) -> None:
        """Write the state and raise `TrainingStopped` if a signal came."""
        if self.signal is None or self.checkpoint is None:
            return
        self.save()
        at = f"after {self.state.step:,} batches" if self.state.step else "at its beginning"
        sentence = (
            f"Training was stopped by {NAMES[signal.Signals(self.signal)]} in epoch {self.state.epoch + 1}, "
            f"{at}; its checkpoint is in {self.checkpoint.folder}."
        )
        raise TrainingStopped(sentence, self.signal)

    def save(self) -> None:
        """Write the state."""
        if self.checkpoint is None or not self.team.leads:
            return
        arrays = self.state.arrays()
        states = [callback.get_state() for callback in self.callbacks.with_state()]
        packed = [_pack(state, arrays, f"callback.{i}") for i, state in enumerate(states)]
        record = {"format_version": FORMAT_VERSION, "settings": self.settings}
        record |= {"state": self.state.facts(), "callbacks": packed}
        arrays[RECORD] = np.frombuffer(json.dumps(record).encode(), np.uint8)
        content = BytesIO()
        np.savez(content, **arrays)  # pyright: ignore[reportArgumentType]
        write_atomically(self.checkpoint.path, content.getbuffer())
        self.written = time.monotonic()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM wait for the end of the batch; when they come twice, they do not."""
        if self.checkpoint is None:
            yield
            return

        def note(number: int) -> None:
            self.signal = number

        with listening(note):
            yield


def settings_of(model, plan, training, validation, callbacks: CallbackList) -> dict[str, Any]:
    """Return what a training must have in common with one that goes on with it, as JSON knows it."""
    given = {
        **model.options.as_dict(),
        "epochs": plan.epochs,
        "initial_epoch": plan.initial_epoch,
        "batch_size": plan.batch_size,
        "shuffle": plan.shuffle,
        "learning_rate": plan.learning_rate,
        "seed": plan.seed,
        "precision": model.precision,
        "device": model.device.type,
        "images": training.fingerprint(),
        "validation images": None if validation is None else validation.fingerprint(),
        "first weights": hash_weights(model.get_weights()),
        "callbacks": [type(callback).__name__ for callback in callbacks.with_state()],
    }
    return as_plain(given)


def read_state(path: Path, settings: dict[str, Any], state: TrainingState) -> Kept:
    """Return the record and the arrays of a checkpoint, once they are known to fit this training.

    Raises
    ------
    FileFormatError, OptionError
        As in `Keeper.read`.
    """
    with decoding(path, "a checkpoint"), zipfile.ZipFile(path) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise ValueError("compressed, which no checkpoint is")
        record = _parse_record(_read(archive, members.pop(RECORD), None, MAX_RECORD_BYTES))
        _demand_same(path, record["settings"], settings)
        _demand_position(record["state"])
        expected = state.shapes(record["state"]["steps_done"])
        if wrong := expected.keys() ^ {name for name in members if not name.startswith("callback.")}:
            raise ValueError(f"{', '.join(sorted(wrong))} missing or unknown")
        arrays = {name: _read(archive, member, expected.get(name)) for name, member in members.items()}
    return record, arrays


def _parse_record(content: np.ndarray) -> dict[str, Any]:
    record = json.loads(content.tobytes())
    if record["format_version"] != FORMAT_VERSION:
        raise ValueError(
            f"format_version {record['format_version']}, and this version reads {FORMAT_VERSION}"
        )
    if not isinstance(record["settings"], dict) or not isinstance(record["callbacks"], list):
        raise TypeError("settings and callbacks must be an object and a list")
    return record


def _demand_same(path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    """Refuse a checkpoint of another training, and name what differs."""
    if differences := describe_differences(there, here, HASHED):
        raise OptionError(
            "A training must be gone on with by the options and images that it began with",
            f"{path.parent} with {differences}",
            "Give the same, or begin anew elsewhere.",
        )


def _demand_position(facts: dict[str, Any]) -> None:
    """Refuse a position that no training can have."""
    counts = [facts[name] for name in TrainingState.COUNTS]
    flags = [facts[name] for name in TrainingState.FLAGS]
    numbers = [facts[name] for name in (*TrainingState.NUMBERS, "total")]
    numbers += [*facts["logs"].values(), *facts["parts"].values()]
    if not all(type(count) is int and 0 <= count < 2**53 for count in counts):
        raise ValueError(f"counts of {counts}")
    if not all(type(flag) is bool for flag in flags) or not all(type(number) is float for number in numbers):
        raise TypeError("a position of other types")
    known = {*TrainingState.COUNTS, *TrainingState.FLAGS, *TrainingState.NUMBERS, "total", "parts", "logs"}
    if facts.keys() != known:
        raise ValueError(f"a position with {', '.join(map(str, facts))}")


def _read(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    expected: tuple[tuple[int, ...], np.dtype] | None,
    limit: int | None = None,
) -> np.ndarray:
    """Return an array of the archive, once its header is what it must be; zip checks every byte."""
    with archive.open(member) as stream:
        if npy_format.read_magic(stream) != (1, 0):
            raise ValueError(f"{member.filename} of another NPY version")
        shape, _, dtype = npy_format.read_array_header_1_0(stream)
        size = member.file_size - stream.tell()
        if expected is not None and (shape, dtype) != expected:
            raise ValueError(f"{member.filename} of shape {shape} and {dtype} in place of {expected}")
        if dtype.kind not in "biuf" or math.prod(shape) * dtype.itemsize != size or size > (limit or size):
            raise ValueError(f"{member.filename} of {size} bytes for shape {shape} of {dtype}")
        return np.frombuffer(bytearray(stream.read()), dtype).reshape(shape)


def _pack(state: dict[str, Any], arrays: Arrays, prefix: str) -> dict[str, Any]:
    """Return a callback's state as JSON knows it; lists of arrays go to ``arrays``."""
    plain = {}
    for name, value in state.items():
        if isinstance(value, list) and value and all(isinstance(item, np.ndarray) for item in value):
            arrays |= {f"{prefix}.{name}.{i}": np.ascontiguousarray(item) for i, item in enumerate(value)}
            value = {"arrays": len(value)}
        plain[name] = value
    return plain


def _unpack(plain: dict[str, Any], arrays: Arrays, prefix: str) -> dict[str, Any]:
    """Return the state of which `_pack` made this."""
    state = dict(plain)
    for name, value in plain.items():
        if isinstance(value, dict) and value.keys() == {"arrays"}:
            state[name] = [arrays[f"{prefix}.{name}.{i}"] for i in range(value["arrays"])]
    return state

"""Trainings that were interrupted go on as if they had not been."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest

from caescope import CAE
from caescope.callbacks import Callback, Checkpoint, EarlyStopping, TensorBoard
from caescope.data import ArraySource
from caescope.data.subset import Subset
from caescope.errors import FileFormatError, OptionError, OutputError, TrainingStopped
from caescope.model import flat
from caescope.model.optimizers import OPTIMIZERS

N_IMAGES, BATCH_SIZE, EPOCHS = 25, 8, 3
STEPS = 4  # batches in an epoch
IMAGES = np.random.default_rng(0).random((N_IMAGES, 6, 6, 1), np.float32)


pytestmark = pytest.mark.usefixtures("ctrl_c")


class Death(Exception):
    """What the process would die of."""


class Killer(Callback):
    """Ends training after so many batches in all, in the midst of everything."""

    def __init__(self, batches: int):
        self.left = batches

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if self.left < 0:
            raise Death


class Streamed:
    """A source of the user's own, read by several threads."""

    shape = (6, 6, 1)

    def __len__(self):
        return N_IMAGES

    def read(self, indices):
        return IMAGES[indices]


def new_cae(optimizer="adamax", seed=3, **options) -> CAE:
    return CAE((6, 6, 1), 2, [2], optimizer=optimizer, seed=seed, **options)


def train(cae, checkpoint=None, callbacks=(), x=IMAGES, **arguments):
    """Train; return the weights and the history but for the seconds."""
    given = {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "verbose": 0, "callbacks": list(callbacks)}
    history = dict(cae.model.fit(x, **(given | arguments), checkpoint=checkpoint).history)
    history.pop("images_per_second")
    return cae.model.get_weights(), history


def same(one, other) -> bool:
    """Whether weights are equal bit for bit, and so are the histories."""
    bits = all(a.tobytes() == b.tobytes() for a, b in zip(one[0], other[0], strict=True))
    return bits and one[1] == other[1]


def die(tmp_path, batches: int, callbacks=(), optimizer="adamax", **arguments) -> Checkpoint:
    """Train until so many batches are done, with a checkpoint after each."""
    checkpoint = Checkpoint(tmp_path / "state", seconds=0)
    with pytest.raises(Death):
        train(new_cae(optimizer), checkpoint, [*callbacks, Killer(batches)], **arguments)
    return checkpoint


@pytest.mark.parametrize("batches", range(1, EPOCHS * STEPS))
@pytest.mark.parametrize("x", [IMAGES, Streamed()], ids=["array", "source"])
def test_a_training_goes_on_after_any_batch(tmp_path, batches, x):
    expected = train(new_cae(), x=x)
    checkpoint = die(tmp_path, batches, x=x)
    resumed = Counter()
    assert same(train(new_cae(), checkpoint, [resumed], x=x), expected)
    assert resumed.batches == EPOCHS * STEPS - batches  # nothing is learned twice


class Counter(Callback):
    batches = 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("batches", [1, 6])
@pytest.mark.parametrize("wide", [flat.WIDE, 4], ids=["one rate", "two rates"])
def test_every_optimizer_goes_on(tmp_path, monkeypatch, optimizer, batches, wide):
    monkeypatch.setattr(flat, "WIDE", wide)
    expected = train(new_cae(optimizer))
    checkpoint = die(tmp_path, batches, optimizer=optimizer)
    assert same(train(new_cae(optimizer), checkpoint), expected)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("arguments", [{"validation_split": 0.2}, {"initial_epoch": 1}, {"y": 1 - IMAGES}])
def test_other_arguments_go_on(tmp_path, shuffle, arguments):
    arguments = {"shuffle": shuffle, **arguments}
    expected = train(new_cae(), **arguments)
    checkpoint = die(tmp_path, 5, **arguments)
    assert same(train(new_cae(), checkpoint, **arguments), expected)


def test_it_may_be_interrupted_again_and_again(tmp_path):
    expected = train(new_cae())
    for _ in range(EPOCHS * STEPS - 1):
        die(tmp_path, 1)
    assert same(train(new_cae(), tmp_path / "state"), expected)


@pytest.mark.parametrize("batches", [4, 9, 13])
def test_the_best_weights_so_far_are_kept(tmp_path, batches):
    def stop():
        return EarlyStopping("val_loss", patience=1, min_delta=0.01, restore_best_weights=True)

    arguments = {"validation_split": 0.2, "epochs": 50}
    expected = train(new_cae(), callbacks=[stop()], **arguments)
    n_epochs = len(expected[1]["loss"])
    assert n_epochs < 50
    checkpoint = die(tmp_path, min(batches, n_epochs * 3 - 1), [stop()], **arguments)
    assert same(train(new_cae(), checkpoint, [stop()], **arguments), expected)
    assert same(train(new_cae(), checkpoint, [stop()], **arguments), expected)  # finished: comes back at once


def test_a_callback_that_stops_in_the_midst_of_an_epoch_has_stopped(tmp_path):
    class Stop(Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    class DieInValidation(Callback):
        def on_test_begin(self, logs=None):
            raise Death

    expected = train(new_cae(), callbacks=[Stop()], validation_split=0.2)
    checkpoint = Checkpoint(tmp_path / "state", seconds=0)
    with pytest.raises(Death):
        train(new_cae(), checkpoint, [Stop(), DieInValidation()], validation_split=0.2)
    assert same(train(new_cae(), checkpoint, [Stop()], validation_split=0.2), expected)


def test_batches_are_counted_on_for_tensorboard(tmp_path):
    die(tmp_path, 5, [TensorBoard(tmp_path / "logs", update_freq="batch")])
    board = TensorBoard(tmp_path / "logs", update_freq="batch")
    train(new_cae(), tmp_path / "state", [board])
    assert board.n_batches == EPOCHS * STEPS


def test_a_loss_that_diverges_puts_back_the_same_weights(tmp_path):
    """The weights with which the epoch began are part of the state."""
    from caescope.errors import TrainingError

    images = IMAGES.copy()

    class Poison(Callback):
        def __init__(self):
            self.n = 0

        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3 and self.model.history.epoch == [0]:
                for weight in self.model.module.parameters():
                    weight.data.fill_(float("nan"))

    whole, resumed = new_cae(), new_cae()
    with pytest.raises(TrainingError):
        train(whole, callbacks=[Poison()], x=images)
    checkpoint = die(tmp_path, 6, x=images)
    with pytest.raises(TrainingError):
        train(resumed, checkpoint, [Poison()], x=images)
    assert same((whole.model.get_weights(), 0), (resumed.model.get_weights(), 0))


def test_nothing_is_written_before_it_is_due(tmp_path):
    checkpoint = Checkpoint(tmp_path / "state", seconds=3600)
    with pytest.raises(Death):
        train(new_cae(), checkpoint, [Killer(5)])
    assert not checkpoint.path.exists()
    train(new_cae(), checkpoint)
    assert checkpoint.path.exists()  # at the end it is


def test_finished_training_comes_back_at_once(tmp_path):
    expected = train(new_cae(), tmp_path / "state")
    counter = Counter()
    assert same(train(new_cae(), tmp_path / "state", [counter]), expected)
    assert counter.batches == 0


@pytest.mark.parametrize(
    ("there", "piece"),
    [
        ({"epochs": 4}, "epochs 3 there and 4 here"),
        ({"batch_size": 5}, "batch_size 8 there and 5 here"),
        ({"shuffle": False}, "shuffle True there and False here"),
        ({"x": IMAGES[::-1].copy()}, "other images"),
        ({"x": IMAGES[:20]}, "other images"),
        ({"validation_split": 0.2}, "other images; other validation images"),
        (
            {"callbacks": [EarlyStopping("loss")]},
            "callbacks ['History'] there and ['History', 'EarlyStopping'] here",
        ),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, there, piece):
    checkpoint = die(tmp_path, 5)
    before = checkpoint.path.read_bytes()
    with pytest.raises(OptionError) as caught:
        train(new_cae(), checkpoint, **there)
    assert piece in str(caught.value)
    assert str(checkpoint.folder) in str(caught.value)
    assert checkpoint.path.read_bytes() == before


@pytest.mark.parametrize(
    ("cae", "piece"),
    [
        (lambda: new_cae(seed=4), "seed 3 there and 4 here; other first weights"),
        (lambda: new_cae("adam"), "optimizer adamax there and adam here"),
        (lambda: new_cae(learning_rate=0.5), "learning_rate None there and 0.5 here"),
        (lambda: CAE((6, 6, 1), 3, [2], seed=3), "latent_features 2 there and 3 here; other first weights"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(tmp_path, cae, piece):
    checkpoint = die(tmp_path, 5)
    with pytest.raises(OptionError) as caught:
        train(cae(), checkpoint)
    assert piece in str(caught.value)


def test_another_source_of_as_many_images_is_another(tmp_path):
    one, other = (Subset(ArraySource(IMAGES), np.arange(20) + i) for i in (0, 1))
    die(tmp_path, 5, x=one)
    with pytest.raises(OptionError, match="other images"):
        train(new_cae(), tmp_path / "state", x=other)


# Damaged and hostile checkpoints


@pytest.fixture
def kept(tmp_path) -> Checkpoint:
    return die(tmp_path, 5)


def rewrite(checkpoint, change, compression=zipfile.ZIP_STORED) -> None:
    """Put what ``change`` makes of the archive's members in their place."""
    with zipfile.ZipFile(checkpoint.path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members = change(members) or members
    with zipfile.ZipFile(checkpoint.path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def npy(array) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


def with_record(**changes):
    """Return a change of the record at its top level, or else in its ``state``."""

    def change(members):
        record = json.loads(np.load(io.BytesIO(members["record.npy"])).tobytes())
        for name, value in changes.items():
            (record if name in record else record["state"])[name] = value
        members["record.npy"] = npy(np.frombuffer(json.dumps(record).encode(), np.uint8))

    return change


CHANGES = {
    "no weights": lambda members: {n: m for n, m in members.items() if n != "weights.npy"},
    "no record": lambda members: {n: m for n, m in members.items() if n != "record.npy"},
    "weights too short": lambda members: members | {"weights.npy": npy(np.zeros(3, np.float32))},
    "weights of float64": lambda members: members | {"weights.npy": npy(np.zeros(60))},
    "pickled weights": lambda members: members | {"weights.npy": npy(np.array([{}], object))},
    "no NPY": lambda members: members | {"good.npy": b"abc"},
    "a header that lies": lambda members: members | {"good.npy": members["good.npy"][:-4]},
    "order too short": lambda members: members | {"order.npy": npy(np.zeros(9, np.uint8))},
    "record of floats": lambda members: members | {"record.npy": npy(np.zeros(9))},
    "record of no JSON": lambda members: members | {"record.npy": npy(np.zeros(9, np.uint8))},
    "format of the future": with_record(format_version=3),
    "settings in a list": with_record(settings=[]),
    "position before the start": with_record(epoch=-1),
    "position of text": with_record(steps_done="5"),
    "position that is true": with_record(seen=True),
    "flag of text": with_record(is_finished="no"),
    "total of text": with_record(total="0"),
    "logs of text": with_record(logs={"loss": "0"}),
    "logs in a list": with_record(logs=[1]),
    "callbacks missing": with_record(callbacks=[]),
    "callbacks of numbers": with_record(callbacks=[1]),
    "callbacks without what they keep": with_record(callbacks=[{}]),
    "arrays that are not there": with_record(callbacks=[{"epoch": {"arrays": 3}, "history": {}}]),
    "steps before the first": with_record(steps_done=0),
    "position of more": with_record(state_of_mind=1),
    "weights of another NPY version": lambda members: (
        members | {"weights.npy": members["weights.npy"].replace(b"\x01\0", b"\x02\0", 1)}
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_damaged_checkpoint_is_refused(kept, change):
    rewrite(kept, change)
    cae = new_cae()
    before = cae.model.get_weights()
    with pytest.raises(FileFormatError, match=r"training\.npz must be readable as a checkpoint\. Received "):
        train(cae, kept)
    assert same((cae.model.get_weights(), 0), (before, 0))


def test_a_checkpoint_from_before_the_first_batch_is_the_beginning(tmp_path):
    """It holds nothing of the optimizer, and the schedule is where it starts."""
    checkpoint = die(tmp_path, 1)

    def go_back(members):
        with_record(step=0, steps_done=0, seen=0, total=0.0)(members)
        first = {"weights.npy": members["good.npy"]}
        return {n: m for n, m in members.items() if not n.startswith("optimizer.")} | first

    rewrite(checkpoint, go_back)
    counter = Counter()
    assert same(train(new_cae(), checkpoint, [counter]), train(new_cae()))
    assert counter.batches == EPOCHS * STEPS


def test_a_compressed_checkpoint_is_refused(kept):
    rewrite(kept, lambda members: members, zipfile.ZIP_DEFLATED)
    with pytest.raises(FileFormatError, match="compressed, which no checkpoint is"):
        train(new_cae(), kept)


@pytest.mark.parametrize("place", [0.02, 0.3, 0.6, 0.97])
def test_truncated_and_flipped_files_are_refused(kept, place):
    content = kept.path.read_bytes()
    at = int(len(content) * place)
    for damaged in (content[:at], content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :]):
        kept.path.write_bytes(damaged)
        with pytest.raises(FileFormatError, match="must be readable as a checkpoint"):
            train(new_cae(), kept)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="must be writable"):
        train(new_cae(), tmp_path / "file" / "state")


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "often", None])
def test_seconds_that_cannot_be(tmp_path, seconds):
    with pytest.raises(OptionError, match="seconds must be a number of at least 0"):
        Checkpoint(tmp_path, seconds)


# Real processes

CHILD = """
import sys
import numpy as np
sys.path.insert(0, {tests!r})
from test_checkpoint import *
import time
signal.signal(signal.SIGINT, signal.default_int_handler)
class Sleepy(Callback):
    def on_train_batch_end(self, batch, logs=None):
        print(batch, flush=True)
        time.sleep(0.02)
cae = new_cae()
try:
    weights, history = train(cae, Checkpoint({folder!r}, seconds={seconds}), [Sleepy()], epochs=20)
except TrainingStopped as stopped:
    print(stopped, flush=True)
    sys.exit(128 + stopped.signal)
np.savez({out!r}, *weights, loss=history["loss"])
"""


def start(tmp_path, seconds) -> subprocess.Popen:
    text = CHILD.format(
        tests=os.path.dirname(__file__),
        folder=str(tmp_path / "state"),
        out=str(tmp_path / "out"),
        seconds=seconds,
    )
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)


def wait_for_batches(child, n: int) -> None:
    assert child.stdout is not None
    for _ in range(n):
        assert child.stdout.readline(), child.wait()


def test_processes_that_were_killed_end_as_one_that_was_not(tmp_path):
    expected = train(new_cae(), epochs=20)
    for n, number in ((3, signal.SIGKILL), (7, signal.SIGTERM), (11, signal.SIGKILL), (5, signal.SIGINT)):
        with start(tmp_path, 0 if number == signal.SIGKILL else 60) as child:
            wait_for_batches(child, n)
            child.send_signal(number)
            said, code = child.communicate()[0], child.wait()
        if number == signal.SIGKILL:
            assert code == -signal.SIGKILL
        else:
            name = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}[number]
            assert code == 128 + number
            assert f"Training was stopped by {name} in epoch " in said
            assert f"; its checkpoint is in {tmp_path / 'state'}." in said
    with start(tmp_path, 60) as child:
        said = child.communicate()[0]
        assert child.wait() == 0
    assert said.count("\n") < 20 * STEPS - 3 - 7 - 11  # it did go on
    with np.load(tmp_path / "out.npz") as found:
        weights = [found[f"arr_{i}"] for i in range(len(expected[0]))]
        assert same((weights, {"loss": found["loss"].tolist()}), (expected[0], {"loss": expected[1]["loss"]}))


class Ask(Callback):
    """Sends this process a signal after the ``n``-th batch, or in validation."""

    def __init__(self, n: int | None, number: int, times: int = 1):
        self.n, self.number, self.times = n, number, times

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.n:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)

    def on_test_begin(self, logs=None):
        if self.n is None:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("n", [0, 2, None])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_wait_for_the_end_of_the_batch(tmp_path, n, number):
    before = signal.getsignal(number)
    expected = train(new_cae(), validation_split=0.2)
    with pytest.raises(TrainingStopped) as caught:
        train(new_cae(), tmp_path / "state", [Ask(n, number)], validation_split=0.2)
    assert caught.value.signal == number
    assert signal.getsignal(number) is before
    assert isinstance(caught.value, KeyboardInterrupt)
    assert same(train(new_cae(), tmp_path / "state", validation_split=0.2), expected)


def test_the_second_ctrl_c_does_not_wait(tmp_path):
    with pytest.raises(KeyboardInterrupt) as caught:
        train(new_cae(), tmp_path / "state", [Ask(0, signal.SIGINT, times=2)])
    assert not isinstance(caught.value, TrainingStopped)
    assert not (tmp_path / "state").exists()


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert same(train(new_cae(), tmp_path / "state", [Ask(0, signal.SIGINT)]), train(new_cae()))


def test_without_a_checkpoint_ctrl_c_is_what_it_was():
    with pytest.raises(KeyboardInterrupt) as caught:
        train(new_cae(), None, [Ask(0, signal.SIGINT)])
    assert not isinstance(caught.value, TrainingStopped)


def test_other_threads_train_without_listening(tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(train(new_cae(), tmp_path / "state")))
    thread.start()
    thread.join(60)
    assert same(results[0], train(new_cae()))


def test_checkpoints_are_small_and_rare(tmp_path):
    """What is kept is a handful of copies of the weights."""
    train(new_cae(), tmp_path / "state")
    weights = 4 * new_cae().model.count_params()
    assert (tmp_path / "state" / "training.npz").stat().st_size < 5 * weights + 2**14
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["training.npz"]

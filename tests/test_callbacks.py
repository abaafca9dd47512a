import io

import numpy as np
import pytest

from caescope import CAE
from caescope.callbacks import Callback, CallbackList, EarlyStopping, Progress
from caescope.errors import OptionError


@pytest.fixture
def images(rng):
    return rng.random((20, 8, 8, 1), dtype=np.float32)


@pytest.fixture
def cae():
    return CAE((8, 8, 1), 3, [2], seed=0)


class Diary:
    """A user's own object, with Keras's hooks and no base class."""

    def __init__(self):
        self.entries = []

    def set_model(self, model):
        self.model = model

    def set_params(self, params):
        self.params = params

    def on_train_begin(self, logs=None):
        self.entries.append("train begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.entries.append(f"epoch {epoch} begin")

    def on_batch_end(self, batch, logs=None):
        self.entries.append(f"batch {batch} end")

    def on_epoch_end(self, epoch, logs=None):
        self.entries.append(f"epoch {epoch} end")
        self.logs = logs

    def on_train_end(self, logs=None):
        self.entries.append("train end")


def test_hooks_come_in_keras_order(cae, images):
    diary = Diary()
    cae.model.fit(images, epochs=2, batch_size=10, verbose=0, callbacks=[diary])
    epochs = [[f"epoch {i} begin", "batch 0 end", "batch 1 end", f"epoch {i} end"] for i in (0, 1)]
    assert diary.entries == ["train begin", *epochs[0], *epochs[1], "train end"]
    assert diary.model is cae.model
    assert (diary.params["epochs"], diary.params["steps"]) == (2, 2)
    assert set(diary.logs) == {"loss", "learning_rate", "images_per_second"}


def test_validation_has_hooks_too(cae, images):
    seen = []

    class Tester(Callback):
        def on_test_begin(self, logs=None):
            seen.append("begin")

        def on_test_end(self, logs=None):
            seen.append(logs["loss"])

    history = cae.model.fit(images, epochs=1, validation_split=0.5, verbose=0, callbacks=[Tester()])
    assert seen == ["begin", history.history["val_loss"][0]]


@pytest.mark.parametrize("hook", ["on_epoch_end", "on_train_batch_end", "on_batch_end"])
def test_stop_training_stops(cae, images, hook):
    class Stopper:
        def set_model(self, model):
            self.model = model

    def stop(self, *_):
        self.model.stop_training = True

    setattr(Stopper, hook, stop)
    spy = Diary()
    cae.model.fit(images, epochs=9, batch_size=5, verbose=0, callbacks=[Stopper(), spy])
    assert spy.entries.count("batch 0 end") == 1
    assert len([entry for entry in spy.entries if entry.startswith("batch")]) == (
        4 if hook == "on_epoch_end" else 1
    )
    assert spy.entries[-1] == "train end"


class Losses:
    """Gives EarlyStopping the losses of a script."""

    def __init__(self, losses):
        self.losses, self.stop_training, self.weights = losses, False, None

    def get_weights(self):
        return [self.epoch]

    def set_weights(self, weights):
        self.weights = weights

    def run(self, stopping) -> int:
        callbacks = CallbackList([stopping])
        callbacks.attach(self, {})
        callbacks.on_train_begin()
        for epoch, loss in enumerate(self.losses):
            self.epoch = epoch
            callbacks.on_epoch_end(self.epoch, {"val_loss": loss})
            if self.stop_training:
                break
        callbacks.on_train_end({})
        return self.epoch


@pytest.mark.parametrize(
    ("options", "last"),
    [({}, 2), ({"patience": 1}, 2), ({"patience": 2}, 5), ({"min_delta": 0.5}, 1), ({"patience": 9}, 6)],
)
def test_early_stopping_waits_as_long_as_it_should(options, last):
    assert Losses([3.0, 2.9, 2.95, 2.5, 2.6, 2.7, 2.0]).run(EarlyStopping(**options)) == last


def test_early_stopping_stops_where_keras_does():
    keras = pytest.importorskip("keras")
    losses = [3.0, 2.9, 2.95, 2.5, 2.6, 2.7, 2.0]
    for patience in range(4):
        theirs = Losses(losses).run(keras.callbacks.EarlyStopping(patience=patience))
        assert Losses(losses).run(EarlyStopping(patience=patience)) == theirs


def test_early_stopping_brings_the_best_weights_back():
    model = Losses([3.0, 1.0, 2.0, 2.0])
    model.run(EarlyStopping(patience=2, restore_best_weights=True))
    assert model.weights == [1]


def test_early_stopping_names_what_it_could_watch(cae, images):
    with pytest.raises(OptionError, match="monitor must be one of loss, learning_rate, images_per_second"):
        cae.model.fit(images, epochs=2, verbose=0, callbacks=[EarlyStopping()])


def test_real_keras_callbacks_work(cae, images, tmp_path):
    keras = pytest.importorskip("keras")
    seen = []
    callbacks = [
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append((epoch, logs["loss"]))),
        keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=50, restore_best_weights=True),
        keras.callbacks.TerminateOnNaN(),
    ]
    history = cae.model.fit(images, epochs=3, validation_split=0.5, verbose=0, callbacks=callbacks)
    assert [loss for _, loss in seen] == history.history["loss"]
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert rows[0].startswith("epoch,")
    assert len(rows) == 4


@pytest.mark.parametrize(("verbose", "epochs", "n_lines"), [(2, 30, 30), (1, 30, 16), ("auto", 3, 3)])
def test_progress_is_lines_where_there_is_no_terminal(cae, images, verbose, epochs, n_lines):
    file = io.StringIO()
    cae.model.fit(images, epochs=epochs, verbose=0, callbacks=[Progress(verbose, file)])
    lines = file.getvalue().splitlines()
    assert len(lines) == n_lines
    assert lines[0].startswith(f"epoch 1/{epochs} · loss 0.")
    assert lines[-1].startswith(f"epoch {epochs}/{epochs} ·")
    assert lines[-1].endswith("images/s")


def test_verbose_0_prints_nothing_and_1_does(cae, images, capsys):
    cae.model.fit(images, epochs=1, verbose=0)
    assert capsys.readouterr() == ("", "")
    cae.model.fit(images, epochs=1, verbose=1)
    assert "epoch 1/1" in capsys.readouterr().out

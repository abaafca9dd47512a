import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from caescope import CAE
from caescope.callbacks import Callback, TensorBoard
from caescope.callbacks.tensorboard import draw_kernels
from caescope.errors import OptionError
from caescope.model.upsampling import _folding


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (32, 8, 8, 1), dtype=np.uint8)


def train(images, log_dir, epochs=3, callbacks=(), **options):
    board = TensorBoard(log_dir, **options)
    cae = CAE((8, 8, 1), 3, [2, 4], seed=0)
    fitted = cae.model.fit(
        images, epochs=epochs, batch_size=8, verbose=0, validation_split=0.25, callbacks=[board, *callbacks]
    )
    return cae, fitted.history


class Server:
    """A real tensorboard on loopback."""

    def __init__(self, log_dir):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(log_dir), "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--reload_interval", "1", "--load_fast", "false"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def get(self, path):
        url = f"http://127.0.0.1:{self.port}/data/plugin/{path}"
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)

    def wait_for(self, path, is_there, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if is_there(answer := self.get(path)):
                    return answer
            except (urllib.error.URLError, ConnectionError):
                pass
            assert self.process.poll() is None, "tensorboard has stopped"
            time.sleep(0.5)
        raise TimeoutError(f"tensorboard never had what was expected under {path}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)


def test_the_real_tensorboard_shows_what_was_written(images, tmp_path):
    options = {"histogram_freq": 1, "write_images": True, "write_grads": True, "update_freq": 2}
    cae, history = train(images, tmp_path / "digits", **options)
    with Server(tmp_path) as server:
        tags = server.wait_for("scalars/tags", lambda tags: "val_loss" in tags.get("digits", ()))["digits"]
        epoch = {"loss", "val_loss", "learning_rate", "images_per_second"}
        assert set(tags) == epoch | {"batch_loss", "batch_learning_rate"}
        loss = server.get("scalars/scalars?run=digits&tag=loss")
        assert [step for _, step, _ in loss] == [1, 2, 3]
        np.testing.assert_allclose([value for *_, value in loss], history["loss"], rtol=1e-6)
        weights = {name.replace(".", "/") for name, _ in cae.model.module.named_parameters()}
        histograms = server.get("histograms/tags")["digits"]
        assert set(histograms) == weights | {f"{name}/gradient" for name in weights}
        pictures = server.get("images/tags")["digits"]
        parts = ("encoder", "decoder")
        kernels = {f"{part}/convolutions/{i}/kernels" for part in parts for i in (0, 1)}
        assert set(pictures) == kernels | {"input_above_reconstruction"}
        assert server.get("graphs/info")["digits"]["run_graph"]


def read_events(log_dir):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(log_dir), size_guidance={"scalars": 0, "histograms": 0})
    events.Reload()
    return events


def test_scalars_are_on_the_disk_while_training_runs(images, tmp_path):
    seen = []

    class Reader(Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append([event.value for event in read_events(tmp_path).Scalars("loss")])

    _, history = train(images, tmp_path, callbacks=[Reader()])
    assert [len(values) for values in seen] == [1, 2, 3]
    np.testing.assert_allclose(seen[-1], history["loss"], rtol=1e-6)


@pytest.mark.parametrize(("freq", "steps"), [("epoch", None), ("batch", list(range(1, 10))), (4, [4, 8])])
def test_update_freq_says_when_batches_are_written(images, tmp_path, freq, steps):
    train(images, tmp_path, update_freq=freq)
    events = read_events(tmp_path)
    if steps is None:
        assert "batch_loss" not in events.Tags()["scalars"]
    else:
        assert [event.step for event in events.Scalars("batch_loss")] == steps


def test_histogram_freq_says_which_epochs_have_histograms(images, tmp_path):
    train(images, tmp_path, epochs=5, histogram_freq=2)
    events = read_events(tmp_path)
    (first, *_) = events.Tags()["histograms"]
    assert [event.step for event in events.Histograms(first)] == [2, 4]
    assert not any("gradient" in tag for tag in events.Tags()["histograms"])


def test_nothing_more_than_scalars_is_written_unless_asked(images, tmp_path):
    train(images, tmp_path, write_graph=False)
    tags = read_events(tmp_path).Tags()
    assert (tags["histograms"], tags["images"], tags["graph"]) == ([], [], False)


def test_gradients_are_those_of_the_last_batch(images, tmp_path):
    cae, _ = train(images, tmp_path, epochs=1, histogram_freq=1, write_grads=True)
    name, weight = next(iter(cae.model.module.named_parameters()))
    (event,) = read_events(tmp_path).Histograms(f"{name.replace('.', '/')}/gradient")
    assert event.histogram_value.num == weight.numel()
    assert event.histogram_value.sum == pytest.approx(weight.grad.sum().item(), rel=1e-4)
    assert event.histogram_value.sum != 0


def test_kernels_are_drawn_around_grey():
    weight = np.zeros((2, 3, 1, 1))
    weight[1, 2] = -4.0
    weight[0, 0] = 2.0
    picture = draw_kernels(weight, zoom=1)
    assert picture.shape == (6, 9, 1)
    assert picture[1::3, 1::3, 0].tolist() == [[0.75, 0.5, 0.5], [0.5, 0.5, 0.0]]


@pytest.mark.parametrize(
    ("options", "piece"),
    [
        ({"histogram_freq": -1}, "histogram_freq must be"),
        ({"histogram_freq": "epoch"}, "histogram_freq must be"),
        ({"update_freq": "step"}, "update_freq must be"),
        ({"update_freq": 0}, "update_freq must be"),
    ],
)
def test_bad_frequencies_get_a_sentence(options, piece):
    with pytest.raises(OptionError, match=piece):
        TensorBoard("logs", **options)


def test_the_first_graph_of_a_process_is_written(images, tmp_path):
    _folding.cache_clear()
    train(images, tmp_path, epochs=1)

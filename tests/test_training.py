"""What the loop does with numbers, devices and figures; what it learns is asked in test_network.py."""

import platform
import subprocess
import sys

import numpy as np
import pytest
import torch

from caescope import CAE
from caescope.callbacks import Callback
from caescope.model import memory, network
from caescope.model.architecture import Decoder
from caescope.model.options import parse_options
from caescope.model.pairs import ImagePairs
from caescope.model.training import BatchLogs

TINY = 1e-310


def denormals_are_zero() -> bool:
    return torch.tensor([TINY], dtype=torch.float64).mul(2).item() == 0


@pytest.fixture
def images(rng) -> np.ndarray:
    return rng.random((40, 8, 8, 1), dtype=np.float32)


def new(device: str = "cpu", **options) -> CAE:
    return CAE((8, 8, 1), 4, [4], seed=0, device=device, **options)


@pytest.mark.parametrize("before", [False, True])
def test_denormal_numbers_count_as_zero_in_training_alone(images, before):
    seen = []

    class Look(Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(denormals_are_zero())

    torch.set_flush_denormal(before)
    try:
        new().model.fit(images, verbose=0, callbacks=[Look()])
        assert seen == [True]
        assert denormals_are_zero() == before
    finally:
        torch.set_flush_denormal(False)


def test_black_pixels_have_no_denormal_gradients():
    decoder = Decoder(parse_options((4, 4, 1), 1, [1]))
    for darkness in np.linspace(-10, -100, 46):
        torch.nn.init.constant_(decoder.convolutions[-1].bias, darkness)
        decoder.zero_grad()
        black = decoder(torch.ones(1, 1))
        assert black.max() < 1e-3
        (black.square().mean() / 1e5).backward()
        gradients = torch.cat([weight.grad.abs().flatten() for weight in decoder.parameters()])
        smallest = torch.finfo(torch.float32).smallest_normal
        assert not ((gradients > 0) & (gradients < smallest)).any()


def test_batch_logs_read_a_figure_only_when_asked():
    total = torch.tensor(6.0)
    logs = BatchLogs(total, seen=3, rate=0.1)
    total += 3  # a figure that had been read already would not see this
    assert dict(logs) == {"loss": 3.0, "learning_rate": 0.1}
    assert len(logs) == 2


def test_batch_logs_hold_the_mean_so_far(images):
    seen = []

    class Look(Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(dict(logs or {}))

    history = new(precision="float32").model.fit(images, batch_size=16, verbose=0, callbacks=[Look()])
    assert [set(logs) for logs in seen] == [{"loss", "learning_rate"}] * 3
    assert seen[-1]["loss"] == history.history["loss"][0]


@pytest.mark.parametrize("optimizer", ["sgd", "adamax"])
def test_a_batch_that_exceeds_the_cache_is_learned_in_parts(images, monkeypatch, optimizer):
    def train(cached_bytes) -> tuple[list[float], np.ndarray, int]:
        monkeypatch.setattr(memory, "CACHED_BYTES", cached_bytes)
        cae, sizes = new(precision="float32", optimizer=optimizer), []
        cae.encoder.module.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
        history = cae.model.fit(images, epochs=2, batch_size=16, verbose=0)
        learned = max(sizes)
        return history.history["loss"], cae.encoder.predict(images), learned

    whole, parts = train(2**24), train(3 * 4 * 8 * 8 * 4)
    assert (whole[2], parts[2]) == (16, 3)
    np.testing.assert_allclose(whole[0], parts[0], rtol=1e-4)
    np.testing.assert_allclose(whole[1], parts[1], atol=1e-3)


@pytest.mark.parametrize("shape", [(28, 28, 1), (224, 224, 3), (2000, 2000, 3)])
def test_large_images_are_predicted_few_at_a_time(shape):
    options = parse_options(shape, 20, [8, 16])
    largest = shape[0] * shape[1] * 8
    count = memory.images_at_a_time(options, torch.device("cpu"))
    assert count == max(1, 2**24 // (4 * largest))


@pytest.mark.parametrize(("precision", "at_a_time"), [("float32", 5), ("bfloat16", 10)])
def test_an_encoder_predicts_as_many_images_at_a_time_as_a_core_caches(
    images, monkeypatch, precision, at_a_time
):
    monkeypatch.setattr(memory, "ENCODED_BYTES", 5 * 4 * 8 * 8 * 4)
    cae, sizes = new(predict_precision=precision), []
    cae.encoder.module.dense.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    latents = cae.encoder.predict(images)
    assert max(sizes) == at_a_time
    assert len(latents) == sum(sizes) == len(images)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_batches_are_float_in_the_order_asked(dtype):
    pixels = torch.arange(10, dtype=dtype).view(10, 1, 1, 1)
    pairs = ImagePairs(pixels, pixels)
    order = torch.tensor([3, 1, 9, 0, 5])
    batches = list(pairs.batches(2, torch.device("cpu"), order))
    assert all(inputs is targets and inputs.dtype == torch.float32 for inputs, targets in batches)
    scale = 255 if dtype == torch.uint8 else 1
    values = torch.cat([inputs.flatten() for inputs, _ in batches])
    torch.testing.assert_close(values * scale, order.float())


def test_images_on_disk_are_read_where_they_lie(tmp_path, images, monkeypatch):
    np.save(tmp_path / "images.npy", (images * 255).astype(np.uint8))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    held = []
    monkeypatch.setattr(network, "train", lambda model, training, *others: held.append(training.inputs))
    new().model.fit(mapped, verbose=0)
    assert held[0].data_ptr() == mapped.ctypes.data


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
class TestGPU:
    def test_an_epoch_never_waits_for_the_gpu(self, images):
        class Strict(Callback):
            def on_train_batch_begin(self, batch, logs=None):
                torch.cuda.set_sync_debug_mode("error")

            def on_train_batch_end(self, batch, logs=None):
                torch.cuda.set_sync_debug_mode("error" if batch < 2 else "default")

        try:
            new("cuda").model.fit(images, batch_size=16, verbose=0, callbacks=[Strict()])
        finally:
            torch.cuda.set_sync_debug_mode("default")

    def test_uint8_images_stay_uint8_on_the_gpu(self, images):
        pixels = torch.from_numpy((images * 255).astype(np.uint8))
        near = ImagePairs(pixels, pixels).near(torch.device("cuda"))
        assert near.inputs.is_cuda
        assert near.inputs.dtype == torch.uint8
        assert near.targets is near.inputs

    def test_the_gpu_learns_what_the_cpu_learns(self, images):
        losses = [
            new(device, precision="float32")
            .model.fit(images, epochs=3, batch_size=8, verbose=0)
            .history["loss"]
            for device in ("cpu", "cuda")
        ]
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


@pytest.mark.parametrize(("free", "fits"), [(10_000, True), (5_000, False)])
def test_images_move_to_a_gpu_that_has_room_for_them(monkeypatch, free, fits):
    """Of its free memory half may be theirs; inputs that are their own targets count and move once."""
    moved = []

    def move(images, device):
        moved.append((images, device))
        return images.view(torch.int8)  # as if it were elsewhere

    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**6))
    monkeypatch.setattr(torch.Tensor, "to", move)
    images, gpu = torch.zeros((50, 8, 8, 1), dtype=torch.uint8), torch.device("cuda", 0)
    pairs = ImagePairs(images, images)
    near = pairs.near(gpu)
    assert near.inputs is near.targets
    assert [(tensor is images, device) for tensor, device in moved] == ([(True, gpu)] if fits else [])
    assert (near is pairs) is not fits
    assert pairs.near(torch.device("cpu")) is pairs


PAGES_IN_AN_EPOCH = """
import resource, sys
import numpy as np
from caescope import CAE
from caescope.callbacks import Callback

class Pages(Callback):
    at = []
    def on_epoch_begin(self, epoch, logs=None):
        self.at.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

images = np.load(sys.argv[1], mmap_mode="r")
cae = CAE((28, 28, 1), 20, [8, 16], seed=0, device="cpu", precision="float32")
cae.model.fit(images, batch_size=256, epochs=4, verbose=0, callbacks=[Pages()])
print(Pages.at[-1] - Pages.at[-2])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what is kept is up to the C library")
def test_memory_of_a_batch_is_kept_for_the_next(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((20 * 256, 28, 28, 1), np.uint8))
    script = [sys.executable, "-c", PAGES_IN_AN_EPOCH, str(tmp_path / "images.npy")]
    printed = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert int(printed) < 20 * 200  # where nothing was kept, some 900 a batch

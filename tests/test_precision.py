import numpy as np
import pytest
import torch
import yaml

from caescope import CAE
from caescope.callbacks import Callback
from caescope.errors import OptionError
from caescope.model.precision import parse_precision
from caescope.pipeline import run

CPU = torch.device("cpu")


@pytest.fixture
def images(rng) -> np.ndarray:
    return rng.random((64, 8, 8, 1), dtype=np.float32)


def new(precision: str) -> CAE:
    return CAE((8, 8, 1), 4, [4], seed=0, device="cpu", precision=precision)


def products_of(cae: CAE, images: np.ndarray) -> set[torch.dtype]:
    """Train one epoch and return in what the convolutions answered."""
    seen = set()
    layer = cae.model.module.encoder.convolutions[0]
    hook = layer.register_forward_hook(lambda module, given, answer: seen.add(answer.dtype))
    cae.model.fit(images, batch_size=32, verbose=0)
    hook.remove()
    return seen


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, "bfloat16"), ({"amx_bf16": True}, "bfloat16"), ({"avx2": True}, "float32")],
)
def test_auto_asks_the_processor(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert parse_precision("auto", CPU) == expected
    assert parse_precision("float32", CPU) == "float32"
    assert parse_precision("bfloat16", CPU) == "bfloat16"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_only_training_computes_in_the_precision(images, precision):
    cae, losses = new(precision), []

    class Losses(Callback):
        def on_train_batch_end(self, batch, logs=None):
            losses.append((logs or {})["loss"])

    assert products_of(cae, images) == {getattr(torch, precision)}
    cae.model.fit(images, verbose=0, callbacks=[Losses()])
    assert {weight.dtype for weight in cae.model.module.parameters()} == {torch.float32}
    # float32 steps are finer than what bfloat16 could tell apart
    assert losses[0] != float(torch.tensor(losses[0]).bfloat16())
    latents = cae.encoder.predict(images)
    assert not np.array_equal(latents, torch.from_numpy(latents).bfloat16().float().numpy())
    with torch.inference_mode():
        expected = cae.model.module.encoder(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(latents, expected, atol=1e-6)


@pytest.mark.parametrize("latents", [4, None])
def test_predictions_in_bfloat16_are_float32_and_close(latents, monkeypatch, rng):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    images = rng.integers(0, 256, (64, 8, 8, 1), np.uint8)
    exact, fast = (
        CAE((8, 8, 1), latents, [4], seed=0, device="cpu", **given)
        for given in ({}, {"predict_precision": "auto"})
    )
    assert (exact.predict_precision, fast.predict_precision) == ("float32", "bfloat16")
    seen = set()
    for module in (fast.encoder.module, fast.decoder.module):
        module.convolutions[0].register_forward_hook(lambda _module, _given, answer: seen.add(answer.dtype))
    codes = exact.encoder.predict(images)
    pairs = [
        (exact.encoder.predict(images), fast.encoder.predict(images)),
        (exact.decoder.predict(codes), fast.decoder.predict(codes)),
        (exact.model.predict(images), fast.model.predict(images)),
    ]
    assert seen == {torch.bfloat16}
    for expected, found in pairs:
        assert found.dtype == np.float32
        assert 0 < np.abs(found - expected).max() < 0.05 * expected.std()
    assert exact.model.evaluate(images) == fast.model.evaluate(images)
    if latents:  # which the last layer makes in float32, so two images never share one for want of digits
        assert not np.array_equal(pairs[0][1], torch.from_numpy(pairs[0][1]).bfloat16().float().numpy())


@pytest.mark.parametrize("option", ["precision", "predict_precision"])
def test_an_unknown_precision_lists_the_known_ones(option):
    with pytest.raises(OptionError, match=f"^{option} must be one of auto, float32, bfloat16"):
        CAE((8, 8, 1), 4, [4], device="cpu", **{option: "float8"})


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "auto"])
def test_a_run_names_the_precision(tmp_path, images, precision):
    options = {"epochs": 1, "latent_features": 3, "filters": (4,), "clusters": 3, "device": "cpu"}
    run(images, tmp_path / "run", precision=precision, verbose=0, map="pca", **options)
    record = yaml.safe_load((tmp_path / "run" / "run.yaml").read_text())
    assert record["options"]["precision"] == parse_precision(precision, CPU)

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from caescope.model import layers, pooling, upsampling
from caescope.model.layers import Dense, SameConv2d
from caescope.model.pooling import convolve_and_pool, max_pool
from caescope.model.upsampling import UpsampledConv2d


@given(size=st.integers(1, 12), kernel=st.integers(1, 6), stride=st.integers(1, 3))
def test_same_convolution_keeps_the_size(size, kernel, stride):
    length = size * stride
    convolution = SameConv2d(1, 1, (kernel, kernel), (stride, stride))
    assert convolution(torch.zeros(1, 1, length, length)).shape == (1, 1, size, size)


def plainly(convolution, small, step):
    """Up-sample, hold the large picture and convolve it, as `UpsampledConv2d` claims to."""
    large = F.interpolate(small, scale_factor=step, mode="nearest")
    return SameConv2d.forward(convolution, large)


@settings(max_examples=80, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    step=st.one_of(st.integers(1, 4).map(lambda n: (n, n)), st.tuples(st.integers(1, 4), st.integers(1, 4))),
    seed=st.integers(0, 2**16),
)
def test_a_folded_convolution_is_the_plain_one_of_the_large_picture(size, channels, kernel, step, seed):
    torch.manual_seed(seed)
    convolution = UpsampledConv2d(*channels, kernel, step)
    small = torch.rand(2, channels[0], *size, requires_grad=True)
    inputs = (small, convolution.weight, convolution.bias)
    with torch.inference_mode():
        predicted = convolution(small)
    folded, plain = convolution(small), plainly(convolution, small, step)
    target = torch.rand_like(plain)
    gradients = [torch.autograd.grad(F.mse_loss(y, target), inputs) for y in (folded, plain)]
    torch.testing.assert_close(folded, plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(predicted, plain.detach(), rtol=1e-5, atol=1e-5)
    for of_folded, of_plain in zip(*gradients, strict=True):
        torch.testing.assert_close(of_folded, of_plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "step", "window"),
    [((3, 3), (2, 2), (2, 3)), ((7, 3), (2, 2), (4, 3)), ((5, 5), (2, 2), (3, 3)), ((3, 3), (3, 3), (3, 3))],
)
def test_lower_places_see_what_upper_ones_do_one_row_further_down(monkeypatch, kernel, step, window):
    seen = []

    def convolve(x, weight, *others):
        seen.append(tuple(weight.shape[2:]))
        return layers.convolve(x, weight, *others)

    monkeypatch.setattr(upsampling, "convolve", convolve)
    UpsampledConv2d(1, 1, kernel, step)(torch.rand(1, 1, 5, 5))
    assert seen == [window]


@pytest.mark.parametrize("step", [(2, 2), (3, 2), (1, 4)])
def test_the_large_picture_is_never_held(step):
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            answer = function(*args, **(kwargs or {}))
            if isinstance(answer, torch.Tensor):
                largest = max(largest, answer.numel())
            return answer

    # 16 channels come in and 1 goes out, so the large picture would be 16 times as large as the result
    with Watch():
        result = UpsampledConv2d(16, 1, (3, 3), step)(torch.rand(1, 16, 32, 32))
    assert largest <= max(16 * 32 * 32, result.numel())


@settings(max_examples=40, deadline=None)
@given(
    cells=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    channels=st.integers(1, 5),
    pool=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    seed=st.integers(0, 2**16),
)
def test_pooling_without_gradients_is_pooling(cells, channels, pool, seed):
    torch.manual_seed(seed)
    images = torch.randn(2, cells[0] * pool[0], cells[1] * pool[1], channels).permute(0, 3, 1, 2)
    with torch.inference_mode():
        assert torch.equal(max_pool(images, pool), F.max_pool2d(images, pool))


@settings(max_examples=80, deadline=None)
@given(
    cells=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    pool=st.sampled_from([(2, 2), (2, 2), (1, 1), (3, 3), (2, 1), (1, 4)]),
    stride=st.sampled_from([(1, 1), (1, 1), (2, 2)]),
    seed=st.integers(0, 2**16),
)
def test_a_convolution_whose_places_are_filters_is_pooled_like_the_plain_one(
    cells, channels, kernel, pool, stride, seed
):
    torch.manual_seed(seed)
    convolution = SameConv2d(*channels, kernel, stride)
    size = [n * p * s for n, p, s in zip(cells, pool, stride, strict=True)]
    x = torch.rand(2, channels[0], *size).to(memory_format=torch.channels_last)
    plain = F.max_pool2d(convolution(x), pool).detach()
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(pooling, "LANES", 64)  # so that even nine filters leave some idle
        torch.testing.assert_close(convolve_and_pool(convolution, x, pool), plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(convolve_and_pool(convolution, x, pool), plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("filters", "lanes", "is_learning", "convolved"),
    [
        (8, 16, False, (2, 32, 4, 4)),
        (16, 16, False, (2, 16, 8, 8)),
        (8, 8, False, (2, 8, 8, 8)),
        (8, 16, True, (2, 8, 8, 8)),
    ],
)
def test_places_are_filters_where_lanes_would_be_idle_and_nobody_learns(
    monkeypatch, filters, lanes, is_learning, convolved
):
    shapes = []

    def convolve(*arguments):
        shapes.append(tuple((result := layers.convolve(*arguments)).shape))
        return result

    monkeypatch.setattr(pooling, "LANES", lanes)
    monkeypatch.setattr(pooling, "convolve", convolve)
    convolution = SameConv2d(1, filters, (3, 3))
    convolution.register_forward_hook(lambda _layer, _given, result: shapes.append(tuple(result.shape)))
    with torch.set_grad_enabled(is_learning):
        convolve_and_pool(convolution, torch.rand(2, 1, 8, 8), (2, 2))
    assert shapes == [convolved]


@pytest.mark.parametrize(
    "layer", [Dense(6, 4), SameConv2d(6, 4, (3, 2)), UpsampledConv2d(6, 4, (3, 3), (2, 2))]
)
def test_layers_compute_in_the_numbers_they_are_given(layer):
    given = torch.rand(2, 6) if isinstance(layer, Dense) else torch.rand(2, 6, 5, 5)
    exact, rounded = layer(given), layer(given.bfloat16())
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, rtol=0.02, atol=0.02)
    rounded.sum().backward()
    assert {weight.grad.dtype for weight in layer.parameters()} == {torch.float32}

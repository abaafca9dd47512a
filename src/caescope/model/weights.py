"""Weights as arrays in Keras's order and layout."""

from collections.abc import Sequence

import numpy as np
import torch

from caescope.errors import ModelError
from caescope.model.architecture import Decoder, Encoder
from caescope.model.layers import Dense, Normalization, SameConv2d

Layer = SameConv2d | Dense | Normalization

KERAS_NAMES = {"conv2d": SameConv2d, "group_normalization": Normalization, "dense": Dense}
TO_KERAS = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}  # axes of a kernel, or of a scale, by their number
TO_TORCH = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}


def layers_of(module: Encoder | Decoder) -> list[tuple[str, Layer]]:
    """Return the layers that have weights, in the order of the data, under Keras's names for them."""
    named, counts = [], dict.fromkeys(KERAS_NAMES, 0)
    for layer in _in_order(module):
        kind = next(name for name, known in KERAS_NAMES.items() if isinstance(layer, known))
        named.append((f"{kind}_{counts[kind]}" if counts[kind] else kind, layer))
        counts[kind] += 1
    return named


def _in_order(module: Encoder | Decoder) -> list[Layer]:
    stages = zip(module.convolutions, module.refinements, strict=True)
    steps = [step for pair in stages for step in (pair if isinstance(module, Encoder) else pair[::-1])]
    layers: list = [layer for step in steps for layer in step.modules() if isinstance(layer, Layer)]
    dense: list = [] if module.dense is None else [module.dense]
    return layers + dense if isinstance(module, Encoder) else dense + layers


def layer_names(module: Encoder | Decoder) -> list[str]:
    """Return Keras's names for the layers that have weights, in the order of the data."""
    return [name for name, _ in layers_of(module)]


def get_weights(module: Encoder | Decoder) -> list[np.ndarray]:
    """Return copies of all weights: for each layer the kernel, then the bias; or the scale, then the offset.

    Kernels of convolutions are (height, width, in, out), those of dense layers (in, out), scales of
    normalisations (channels,); float32.
    """
    arrays = []
    for _, layer in layers_of(module):
        kernel, bias = layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy()
        arrays += [kernel.transpose(TO_KERAS[kernel.ndim]).copy(), bias.copy()]
    return arrays


def weight_shapes(module: Encoder | Decoder) -> list[tuple[int, ...]]:
    """Return the shapes of the arrays that `get_weights` returns."""
    shapes = []
    for _, layer in layers_of(module):
        shape = tuple(layer.weight.shape)
        shapes += [tuple(shape[axis] for axis in TO_KERAS[len(shape)]), tuple(layer.bias.shape)]
    return shapes


def set_weights(module: Encoder | Decoder, arrays: Sequence[np.ndarray]) -> None:
    """Replace all weights by arrays as `get_weights` returns them.

    Raises
    ------
    ModelError
        If their number or a shape differs, or one does not hold numbers; no weight has changed then.
    """
    arrays = [_parse_numbers(array) for array in arrays]
    expected = weight_shapes(module)
    if [array.shape for array in arrays] != expected:
        raise ModelError(
            f"Weights must have the shapes {expected}",
            f"{[array.shape for array in arrays]}",
            "Give what get_weights returned for the same options.",
        )
    with torch.no_grad():
        for (_, layer), kernel, bias in zip(layers_of(module), arrays[::2], arrays[1::2], strict=True):
            layer.weight.copy_(torch.tensor(kernel.transpose(TO_TORCH[kernel.ndim])))
            layer.bias.copy_(torch.tensor(bias))


def _parse_numbers(array) -> np.ndarray:
    """Return weights from outside as float32."""
    try:
        numbers = np.asarray(array)
        if numbers.dtype.kind not in "fiub":
            raise TypeError(f"an array of dtype {numbers.dtype}")
    except (TypeError, ValueError) as error:
        advice = "Give what get_weights returned for the same options."
        raise ModelError("Weights must be arrays of numbers", str(error).rstrip("."), advice) from error
    with np.errstate(over="ignore"):  # too large for float32 is infinite, as in PyTorch
        return numbers.astype(np.float32)

"""The table that ``summary()`` prints."""

import sys
from collections.abc import Iterator

from rich.table import Table
from torch import nn

from caescope.model.architecture import Decoder, Encoder
from caescope.model.layers import Dense, Normalization
from caescope.model.options import Pair
from caescope.model.weights import Layer, layers_of
from caescope.progress import plain_console


def summarize(network) -> None:
    """Print one row for each layer with weights: its name, kernel, output shape and number of weights."""
    table = Table(title=repr(network), title_justify="left")
    for column in ("layer", "kind"):
        table.add_column(column)
    for column in ("output shape", "weights"):
        table.add_column(column, justify="right")
    for name, kind, shape, count in _rows(network):
        table.add_row(name, kind, " × ".join(map(str, shape)), f"{count:,}")
    plain_console(sys.stdout).print(table)


def _rows(network) -> list[tuple[str, str, tuple[int, ...], int]]:
    """Tell what every layer makes of one item; nothing is computed, for images can be large."""
    return [row for part in network.module.modules() for row in _rows_of(part)]


def _rows_of(part: nn.Module) -> Iterator[tuple[str, str, tuple[int, ...], int]]:
    if not isinstance(part, (Encoder, Decoder)):
        return
    options, encodes, resizing = part.options, isinstance(part, Encoder), set(part.convolutions)
    height, width, _ = options.padded_shape if encodes else options.stage_shape
    for name, layer in layers_of(part):
        if layer in resizing:
            growth, shrink = ((1, 1), options.encoder_stride) if encodes else (options.downsampling, (1, 1))
            height, width = height * growth[0] // shrink[0], width * growth[1] // shrink[1]
        count = sum(weight.numel() for weight in layer.parameters())
        yield name, *_describe(layer, (height, width)), count
        if layer in resizing and encodes:
            height, width = height // options.encoder_pool[0], width // options.encoder_pool[1]


def _describe(layer: Layer, size: Pair) -> tuple[str, tuple[int, ...]]:
    """Return the kind of a layer and the shape of what it puts out, a picture of that height and width."""
    if isinstance(layer, Dense):
        return "dense", (layer.out_features,)
    if isinstance(layer, Normalization):
        return "normalisation", (*size, layer.num_channels)
    return f"convolution {'×'.join(map(str, layer.kernel_size))}", (*size, layer.out_channels)

"""Figures that need the decoder: what each latent variable does."""

from pathlib import Path

import numpy as np

from caescope import plots
from caescope.analysis.latents import Audit, flatten_latents
from caescope.analysis.sweeps import sweep_latents
from caescope.cae import CAE
from caescope.figures.saving import save_png
from caescope.table import LatentTable

MOST_SWEEPS, STEPS = 32, 9


def draw_decoded(folder: Path, cae: CAE, table: LatentTable, variables: Audit) -> None:
    """Draw what the decoder makes of each variable from low to high, the others at their median.

    Of many variables, those that vary most are drawn.
    """
    assert table.split is not None
    widest = np.argsort(-variables["std"], kind="stable")[:MOST_SWEEPS]
    shown = np.sort(widest[~variables["dead_mask"][widest]])
    sweeps = sweep_latents(flatten_latents(table.latents)[table.split == "train"], STEPS, variables=shown)
    points = sweeps.reshape(-1, *cae.decoder.input_shape)
    images = cae.decoder.predict(points).reshape(len(shown), STEPS, *cae.decoder.output_shape)
    figure = plots.plot_sweeps(images, [f"z{i:03d}" for i in shown])
    save_png(folder, "sweeps", figure)

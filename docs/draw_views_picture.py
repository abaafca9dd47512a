"""Draw two rows of views for each preset: the image that they are of, and eight views.

python docs/draw_views_picture.py TARGET --digits mnist.pkl.gz --tiles lc25000/colon_n lc25000/lung_scc
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from caescope import data
from caescope.views import PRESETS, parse_views

VIEWS, SIDE, GAP, MARGIN = 8, 96, 6, 90


def row(image: np.ndarray, preset: str, seed: int) -> list[Image.Image]:
    """Return an image, shape (h, w, c), uint8, and its views."""
    images = torch.from_numpy(image.copy()).expand(VIEWS, -1, -1, -1) / 255
    views = parse_views(preset, image.shape[2])(images, torch.Generator().manual_seed(seed))
    return [picture(each) for each in (image, *(views * 255).round().to(torch.uint8).numpy())]


def picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image.squeeze()).convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)


def digits_of(path: str) -> list[np.ndarray]:
    """Return two digits of the file's first set, shape (28, 28, 1), uint8."""
    (images, labels), *_ = data.load_mnist_pickle(path)
    firsts = [int(np.flatnonzero(labels == digit)[0]) for digit in (4, 7)]
    return [np.rint(images[i].reshape(28, 28, 1) * 255).astype(np.uint8) for i in firsts]


def tile_of(folder: str) -> np.ndarray:
    """Return the first tile of a folder, shape (96, 96, 3), uint8."""
    first = min(Path(folder).glob("*.jpeg"))
    tile = Image.open(first).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(tile)


def main(target: str, digits: str, tiles: list[str]) -> None:
    images = [*digits_of(digits), *map(tile_of, tiles)]
    fitting = {"digits": images[:2], "natural": images[2:], "histology": images[2:], "noise": images[1:3]}
    rows = [(name, row(image, name, i)) for name in PRESETS for i, image in enumerate(fitting[name][:2])]
    step = SIDE + GAP
    drawn = Image.new("RGB", (MARGIN + (VIEWS + 1) * step + GAP, len(rows) * step + GAP), "white")
    for i, (name, pictures) in enumerate(rows):
        ImageDraw.Draw(drawn).text((GAP, i * step + SIDE // 2), name, fill="black")
        for k, each in enumerate(pictures):
            drawn.paste(each, (MARGIN + k * step + (GAP if k else 0), i * step + GAP))
    drawn.save(target, quality=80)
    sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("target", help="PNG or WebP")
    parser.add_argument("--digits", required=True, help="mnist.pkl.gz")
    parser.add_argument(
        "--tiles", required=True, nargs="+", help="folders with JPEG files, such as LC25000's"
    )
    main(**vars(parser.parse_args()))

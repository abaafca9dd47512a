"""Put a run's map, reconstructions and impurities side by side into docs/images/mnist.png.

python docs/draw_readme_picture.py runs/mnist
"""

import sys
from pathlib import Path

from PIL import Image

WIDTH, GAP = 760, 24
TARGET = Path(__file__).parent / "images" / "mnist.png"


def fit(figure: Image.Image, width: int) -> Image.Image:
    return figure.resize((width, round(figure.height * width / figure.width)), Image.Resampling.LANCZOS)


def main(run: Path) -> None:
    names = ("map_labels", "pairs", "cluster_00", "gini")
    figures = {name: Image.open(run / "figures" / f"{name}.png").convert("RGB") for name in names}
    right = [fit(figures[name], WIDTH) for name in names[1:]]
    height = sum(figure.height for figure in right) + 2 * GAP
    left = fit(
        figures["map_labels"], round(figures["map_labels"].width * height / figures["map_labels"].height)
    )
    picture = Image.new("RGB", (left.width + GAP + WIDTH, height), "white")
    picture.paste(left, (0, (height - left.height) // 2))
    y = 0
    for figure in right:
        picture.paste(figure, (left.width + GAP, y))
        y += figure.height + GAP
    TARGET.parent.mkdir(exist_ok=True)
    picture.quantize(128).save(TARGET, optimize=True)
    sys.stdout.write(f"{TARGET}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The picture that stands for the page where it is linked to: `python -m ui.thumbnail`.

Four strips of one photo, side by side: degraded, VAE, GAN, diffusion, as the page opens with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from enhancers import images
from ui import first

FILE = Path(__file__).parents[1] / "assets" / "thumbnail.png"
METHODS = ("vae", "gan", "diffusion")
SIZE = (1200, 630)
"""What cards on social networks are cut to."""


def strips(pictures: Sequence[Image.Image]) -> Image.Image:
    """Lay the middle of each picture beside the others, pixels enlarged without smoothing."""
    width, height = SIZE[0] // len(pictures), SIZE[1]
    card = Image.new("RGB", SIZE)
    for number, picture in enumerate(pictures):
        scale = height / picture.height
        left = (picture.width - width / scale) / 2
        box = (left, 0, left + width / scale, picture.height)
        strip = picture.resize((width, height), Image.Resampling.NEAREST, box=box)
        card.paste(strip, (number * width, 0))
    return card


def write() -> None:
    """Write the thumbnail from the pictures in `first.FOLDER`."""
    degraded = images.to_pil(first.task().degraded)
    restored = [Image.open(first.FOLDER / f"{name}.webp").convert("RGB") for name in METHODS]
    strips([degraded, *restored]).save(FILE, optimize=True)


if __name__ == "__main__":
    write()

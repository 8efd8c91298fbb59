"""How good pictures are inside a rectangle of theirs. No Gradio here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from enhancers import images
from eval.metrics import measure
from ui.job import MAX_PIXELS, SCORES


@dataclass(frozen=True)
class Region:
    """A rectangle of whole pixels. Raises ValueError if it is none."""

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self):
        values = (self.x, self.y, self.width, self.height)
        whole = all(type(value) is int and value < 2**31 for value in values)
        if not (whole and min(self.x, self.y) >= 0 and min(self.width, self.height) >= 1):
            raise ValueError(f"A region is left, top, width and height in pixels, not {values}.")


def scores(files: Mapping[str, str], truth: str, region: Region) -> dict[str, dict[str, float]]:
    """PSNR, SSIM and MSE of PNG files inside the region, by the names given.

    SSIM is nan where the region is smaller than its window. Raises ValueError if a file is gone
    or its picture ends before the region does.
    """
    clean = _crop(truth, region)
    return {name: measure(_crop(file, region), clean, SCORES) for name, file in files.items()}


def _crop(file: str, region: Region) -> Tensor:
    if not Path(file).exists():
        raise ValueError("These pictures are no longer on the server; restore the photo again.")
    with Image.open(file, formats=["PNG"]) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"A picture may have up to {MAX_PIXELS:,} pixels; this one has more.")
        right, bottom = region.x + region.width, region.y + region.height
        if right > image.width or bottom > image.height:
            raise ValueError(
                f"The region ends at {right}, {bottom}, but the picture has only "
                f"{image.width}×{image.height} pixels."
            )
        return images.load(image.crop((region.x, region.y, right, bottom))).pixels

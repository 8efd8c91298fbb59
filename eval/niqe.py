"""How natural a photo looks, without the original: NIQE, fitted on photos of this project's own.

python -m eval.niqe PHOTOS... --out assets/niqe.npz

Mittal, Soundararajan and Bovik 2013, "Making a 'completely blind' image quality analyzer": local
statistics of good photos follow known families of distributions. Their parameters, 36 numbers per
block of the picture, are described by a Gaussian for good photos and by another for the picture
in question; the score is the distance between the two. Fitted on other photos than its authors',
it does not compare with published values.
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.special import gamma
from tqdm import tqdm

MODEL = Path(__file__).parent.parent / "assets" / "niqe.npz"
"""The fit that ships."""

BLOCK = 96
"""Side in pixels of the blocks whose statistics are compared."""

SHARP = 0.75
"""Photos are fitted on their sharp blocks alone: this part of the sharpest's contrast, or more."""

_SHAPES = np.arange(0.2, 10, 0.001)
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))
"""(E|x|)^2 / E x^2 of a generalised Gaussian of each shape; rises with it."""


@dataclass(frozen=True)
class Model:
    """The Gaussian that describes the blocks of good photos."""

    mean: np.ndarray
    """(36,)"""
    covariance: np.ndarray
    """(36, 36)"""


def score(luma: np.ndarray, model: Model | None = None) -> float:
    """Return the distance of a picture to good photos; lower is better.

    luma: (H, W) in [0, 255]. nan where fewer than two blocks of it are not flat, as in pictures
    of less than 96 × 192 pixels.
    """
    features, _ = describe(luma)
    if len(features) < 2:
        return math.nan
    model = model or shipped()
    between = features.mean(0) - model.mean
    # Eq. 10. The covariance of a few blocks is singular, that of the model's thousand is not.
    pooled = (np.cov(features, rowvar=False) + model.covariance) / 2
    return float(np.sqrt(between @ np.linalg.pinv(pooled) @ between))


@functools.cache
def shipped() -> Model:
    """Return the fit that ships."""
    with np.load(MODEL) as file:
        return Model(file["mean"], file["covariance"])


def fit(pictures: Iterable[np.ndarray]) -> Model:
    """Describe good photos, each (H, W) in [0, 255], by their sharp blocks.

    Raises ValueError where fewer blocks than features are sharp: the fit would mean nothing.
    """
    chosen = []
    for luma in pictures:
        features, contrast = describe(luma)
        if len(features):
            chosen.append(features[contrast >= SHARP * contrast.max()])
    blocks = np.concatenate(chosen) if chosen else np.empty((0, 36))
    if len(blocks) <= blocks.shape[1]:
        raise ValueError(
            f"Only {len(blocks)} sharp blocks were found; give more photos, of at least "
            f"{BLOCK} × {BLOCK} pixels."
        )
    return Model(blocks.mean(0), np.cov(blocks, rowvar=False))


def describe(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of the picture's blocks that are not flat, (B, 36), and their contrast.

    luma: (H, W) in [0, 255]; what does not fill a block at the right and bottom is left out.
    Contrast (B,) is the mean local standard deviation.
    """
    H, W = (side - side % BLOCK for side in luma.shape)
    if H == 0 or W == 0:
        return np.empty((0, 36)), np.empty(0)
    luma = np.round(luma[:H, :W])
    half = torch.nn.functional.interpolate(
        torch.from_numpy(luma)[None, None], scale_factor=0.5, mode="bicubic", antialias=True
    )[0, 0].numpy()
    fine, contrast = _normalised(luma)
    coarse, _ = _normalised(half)
    with np.errstate(invalid="ignore", divide="ignore"):
        features = np.concatenate(
            [_statistics(_blocks(fine, BLOCK)), _statistics(_blocks(coarse, BLOCK // 2))], axis=1
        )
    textured = np.isfinite(features).all(1)
    return features[textured], _blocks(contrast, BLOCK).mean((1, 2))[textured]


def _normalised(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return luma less its local mean over its local deviation (Eq. 1), and that deviation."""
    smooth = functools.partial(gaussian_filter, sigma=7 / 6, radius=3, mode="nearest")
    mean = smooth(luma)
    deviation = np.sqrt(np.abs(smooth(luma**2) - mean**2))
    return (luma - mean) / (deviation + 1), deviation


def _blocks(plane: np.ndarray, side: int) -> np.ndarray:
    """(H, W) -> (B, side, side), row by row."""
    H, W = plane.shape
    blocks = plane.reshape(H // side, side, W // side, side).swapaxes(1, 2)
    return blocks.reshape(-1, side, side)


def _statistics(blocks: np.ndarray) -> np.ndarray:
    """Fit the normalised values and the products of neighbours; (B, h, w) -> (B, 18)."""
    shape, left, right = fit_asymmetric(blocks)
    columns = [shape, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        shape, left, right = fit_asymmetric(blocks * np.roll(blocks, shift, axis=(1, 2)))
        mean = (right - left) * gamma(2 / shape) / gamma(1 / shape)  # Eq. 8
        columns += [shape, mean, left, right]
    return np.stack(columns, axis=1)


def fit_asymmetric(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit asymmetric generalised Gaussians to values around zero, by matching moments.

    Lasmar, Stitou and Berthoumieu 2009. (B, h, w) -> shape, left and right scale, each (B,);
    not finite where all values have one sign or are zero.
    """
    values = blocks.reshape(len(blocks), -1)
    below, above = values < 0, values > 0
    left = np.sqrt((values**2 * below).sum(1) / below.sum(1))
    right = np.sqrt((values**2 * above).sum(1) / above.sum(1))
    skew = left / right
    ratio = np.abs(values).mean(1) ** 2 / (values**2).mean(1)
    ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = np.interp(ratio, _RATIOS, _SHAPES)
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * scale, right * scale


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: fit on photos and write the parameters."""
    from enhancers import images
    from eval.metrics import luma

    parser = argparse.ArgumentParser(
        prog="python -m eval.niqe", description="Fit NIQE on good photos."
    )
    parser.add_argument("photos", nargs="+", type=Path, help="files and folders")
    parser.add_argument("--out", type=Path, default=MODEL, help="default: %(default)s")
    args = parser.parse_args(argv)
    try:
        files = images.list_images(args.photos)
        model = fit(luma(images.load(file).pixels) for file in tqdm(files, unit="photo"))
    except (ValueError, OSError) as error:
        parser.error(str(error))
    np.savez_compressed(args.out, mean=model.mean, covariance=model.covariance)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What goes on inside the three enhancers, on one photo: codes, judgements, states.

Photos are (1, 3, H, W) in [0, 1] as everywhere, but with sides divisible by `MULTIPLE` and at most
`base.TILE` pixels long: a network sees them whole, in one call. `fitted` makes them so.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from enhancers.base import TILE, pad_to_multiple
from enhancers.layers import exposure, filled

MULTIPLE = 8
"""Sides of a photo are divisible by this, so that every level of the networks fits."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (BT.601)."""


@dataclass(frozen=True)
class Given:
    """What a network is told of a photo, on its device."""

    degraded: Tensor
    """(1, 3, H, W), `layers.filled` under the mask."""
    mask: Tensor
    """(1, 1, H, W), 1 where a pixel is unknown."""
    exposure: Tensor
    """Of the whole photo; see `layers.exposure`."""


def given(
    degraded: Tensor, mask: Tensor | None = None, device: str | torch.device = "cpu"
) -> Given:
    """Return what `Enhancer.restore` would tell its network. Raises ValueError for a wrong size."""
    H, W = degraded.shape[-2:]
    if H % MULTIPLE or W % MULTIPLE or max(H, W) > TILE:
        raise ValueError(
            f"Expected sides divisible by {MULTIPLE} and up to {TILE} pixels, but got {W}×{H}."
        )
    mask = torch.zeros_like(degraded[:, :1]) if mask is None else mask
    degraded = filled(degraded, mask)
    return Given(*(x.to(device) for x in (degraded, mask, exposure(degraded, mask))))


def nothing(size: int) -> tuple[Tensor, Tensor]:
    """Return a photo of which every pixel is unknown: grey (1, 3, size, size), and its mask."""
    grey = torch.full((1, 3, size, size), 0.5)
    return grey, torch.ones_like(grey[:, :1])


def fitted(photo: Tensor, side: int) -> Tensor:
    """Shrink a photo until no side is longer than `side`, and cut its sides to whole `MULTIPLE`s.

    A photo that is small enough keeps its pixels, but for up to 7 at the right and the bottom;
    one with a side below 8 pixels is extended.
    """
    scale = side / max(photo.shape[-2:])
    if scale < 1:
        size = [max(1, round(scale * s)) for s in photo.shape[-2:]]
        photo = F.interpolate(photo, size, mode="bicubic", antialias=True).clamp(0, 1)
    H, W = (max(MULTIPLE, s - s % MULTIPLE) for s in photo.shape[-2:])
    return pad_to_multiple(photo, MULTIPLE)[..., :H, :W]


def luma(photo: Tensor) -> Tensor:
    """Brightness, (N, 3, H, W) -> (N, 1, H, W)."""
    return (photo * photo.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def deviation(pictures: list[Tensor]) -> Tensor:
    """How much pictures of one photo differ at each pixel, (H, W) in levels of 255.

    Standard deviation over the pictures (of a sample), root-mean-square over the colours.
    Raises ValueError for fewer than two.
    """
    if len(pictures) < 2:
        raise ValueError("Expected at least two pictures to tell how much they differ.")
    return 255 * torch.cat(pictures).var(0).mean(0).sqrt()

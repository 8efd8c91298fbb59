"""Ways to spoil a photo by just as much as one likes, to see what metrics make of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from enhancers import degradations as deg
from enhancers.images import quantise
from eval.metrics import psnr


def _brighter(photo: Tensor, amount: float) -> Tensor:
    return photo + 0.6 * amount


def _flatter(photo: Tensor, amount: float) -> Tensor:
    return torch.lerp(photo, photo.mean((1, 2, 3), keepdim=True).expand_as(photo), amount)


def _noisy(photo: Tensor, amount: float) -> Tensor:
    return deg.add_noise(photo, 150 * amount, torch.Generator().manual_seed(0))


def _blurred(photo: Tensor, amount: float) -> Tensor:
    return deg.gaussian_blur(photo, torch.tensor([0.2 + 30 * amount**2]))


def _coded(photo: Tensor, amount: float) -> Tensor:
    return deg.jpeg(photo, torch.tensor([100 - 99 * amount]))


def _moved(photo: Tensor, amount: float) -> Tensor:
    """Move to the right by up to 16 pixels, in fractions too."""
    whole, part = divmod(16 * amount, 1)
    wide = F.pad(photo, (int(whole) + 1, 0, 0, 0), mode="replicate")
    W = photo.shape[-1]
    return torch.lerp(wide[..., 1 : W + 1], wide[..., :W], part)


DISTORTIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "Brighter": _brighter,
    "Less contrast": _flatter,
    "Moved sideways": _moved,
    "Noise": _noisy,
    "Blur": _blurred,
    "JPEG": _coded,
}
"""By name: (photo (1, 3, H, W), amount from 0 to 1) -> photo, the further off the larger."""


def spoil(photo: Tensor, name: str, target_db: float) -> Tensor:
    """Distort a photo until its PSNR has fallen to `target_db`, or as far as it goes.

    Returns (1, 3, H, W) on the 8-bit grid. The amount is found by halving; JPEG knows only a
    hundred qualities and comes as near as these let it.
    """
    distort = DISTORTIONS[name]
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        if psnr(distort(photo, middle).clamp(0, 1), photo) > target_db:
            low = middle
        else:
            high = middle
    return quantise(distort(photo, high))

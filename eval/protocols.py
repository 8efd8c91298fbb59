"""What the benchmark can do to photos: every degradation, and two protocols of published tables.

`noise-float:25`: tables of denoising add noise to floating-point pixels and hand it to the method
as it is, with values below black and above white. No file holds such a photo.
`jpeg-grey:10`: tables of JPEG repair look at brightness alone. The photo is replaced by its luma
(BT.601, in [16, 235], rounded) as a grey picture, so that PSNR is what they call PSNR on Y.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from enhancers import degradations
from eval.metrics import luma

NOISE_FLOAT = "noise-float"
"""Gaussian noise as in published tables: not clipped, not rounded, the same for every photo."""

JPEG_GREY = "jpeg-grey"
"""JPEG of the luma as a grey picture, as in published tables."""

_KINDS = {NOISE_FLOAT: "noise", JPEG_GREY: "jpeg"}

NAMES: tuple[str, ...] = (*degradations.NAMES, *_KINDS)


def parse(text: str) -> tuple[str, float]:
    """Read `name` or `name:severity`; see `degradations.parse`."""
    name, colon, severity = text.strip().partition(":")
    if name not in NAMES:
        raise ValueError(f"Unknown degradation '{name}'; choose among {', '.join(NAMES)}.")
    return name, degradations.parse(f"{kind(name)}{colon}{severity}")[1]


def kind(name: str) -> str:
    """Return the degradation of the product that a protocol is a form of."""
    return _KINDS.get(name, name)


def truth(clean: Tensor, name: str) -> Tensor:
    """Return what a restoration is compared with, (1, 3, H, W): the photo, or its luma."""
    if name == JPEG_GREY:
        return torch.from_numpy(luma(clean)).round().div(255).to(clean).expand_as(clean)
    return clean


def damage(clean: Tensor, image: str, name: str, severity: float) -> tuple[Tensor, Tensor]:
    """Damage one photo, always in the same way; clean: as from `truth`, (1, 3, H, W) in [0, 1].

    Returns degraded (1, 3, H, W), in [0, 1] but for `noise-float`, and mask (1, 1, H, W).
    """
    if name == NOISE_FLOAT:
        return _float_noise(clean, severity), clean.new_zeros(1, 1, *clean.shape[2:])
    generator = damage_generator(image, name)
    return degradations.degrade(clean, kind(name), severity, generator=generator)


def damage_generator(image: str, name: str) -> torch.Generator:
    """Return the random numbers for one photo, whatever else is measured and in which order.

    They do not depend on the severity either, so that curves over the severity are smooth.
    """
    digest = hashlib.sha256(f"{image}|{name}|0".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))


def _float_noise(clean: Tensor, sigma: float) -> Tensor:
    # The very numbers of the published tests (Zhang et al., KAIR): NumPy's first generator,
    # seeded with 0 for each photo, height by width by channels.
    numbers = np.random.RandomState(0)
    H, W = clean.shape[2:]
    noise = torch.from_numpy(numbers.normal(0, sigma / 255, (H, W, 3)))
    return clean + noise.permute(2, 0, 1)[None].to(clean)

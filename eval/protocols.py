"""What the benchmark can do to photos: every degradation, and the noise of published tables.

Tables of denoising add noise to floating-point pixels and hand it to the method as it is, with
values below black and above white. No file holds such a photo, so it is not among the
degradations of the product; `noise-float:25` measures what those tables measured.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from enhancers import degradations

NOISE_FLOAT = "noise-float"
"""Gaussian noise as in published tables: not clipped, not rounded, the same for every photo."""

NAMES: tuple[str, ...] = (*degradations.NAMES, NOISE_FLOAT)


def parse(text: str) -> tuple[str, float]:
    """Read `name` or `name:severity`; see `degradations.parse`."""
    name, colon, severity = text.strip().partition(":")
    if name == NOISE_FLOAT:
        return name, degradations.parse(f"noise{colon}{severity}")[1]
    if name not in NAMES:
        raise ValueError(f"Unknown degradation '{name}'; choose among {', '.join(NAMES)}.")
    return degradations.parse(text)


def kind(name: str) -> str:
    """Return the degradation of the product that a protocol is a form of."""
    return "noise" if name == NOISE_FLOAT else name


def damage(clean: Tensor, image: str, name: str, severity: float) -> tuple[Tensor, Tensor]:
    """Damage one photo, always in the same way; (1, 3, H, W) in [0, 1].

    Returns degraded (1, 3, H, W), in [0, 1] but for `noise-float`, and mask (1, 1, H, W).
    """
    if name == NOISE_FLOAT:
        return _float_noise(clean, severity), clean.new_zeros(1, 1, *clean.shape[2:])
    return degradations.degrade(clean, name, severity, generator=damage_generator(image, name))


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

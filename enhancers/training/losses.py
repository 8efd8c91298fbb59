"""Losses shared by the recipes; every one takes photos (N, 3, H, W) in about [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 4e-5
"""Mean squared error (44 dB) around which a photo ceases to pull."""


def log_mse(restored: Tensor, clean: Tensor, floor: float | Tensor = FLOOR) -> Tensor:
    """Per-photo log of the mean squared error, (N,), in nats; the PSNR up to a factor.

    floor: added to the error, one for all photos or one for each, (N,).

    Photos pull about equally hard, whatever their damage; an absolute error would let the
    strongest damage drown the rest (Chu et al. 2021, NAFNet's PSNRLoss).
    """
    return torch.log((restored - clean).square().mean((1, 2, 3)) + floor)


def annealed_floor(progress: float) -> float:
    """Floor of the log MSE: 1e-3 (30 dB) at the start, `FLOOR` from the middle of the run on.

    With a low floor, photos that need nothing pull hardest and hold the network at the identity.
    """
    return 1e-3 * (FLOOR / 1e-3) ** min(1.0, 2 * progress)


def error_of_mean(first: Tensor, second: Tensor, clean: Tensor) -> Tensor:
    """Squared error of the mean of all samples, (N,), estimated by two of them; may be negative.

    The product of two independent samples' errors: unlike the squared error of their average, it
    does not grow with their variance, so it neither rewards nor punishes them for differing.
    """
    return ((first - clean) * (second - clean)).mean((1, 2, 3))


def variance(first: Tensor, second: Tensor) -> Tensor:
    """Mean variance of samples, (N,), estimated by two of them."""
    return 0.5 * (first - second).square().mean((1, 2, 3))

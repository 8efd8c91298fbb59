"""Fit of the tone curve that the networks put before everything else; takes seconds."""

from __future__ import annotations

import torch

from enhancers.layers import Lift, describe, undarkened
from enhancers.training.data import Mixture

DARK_SHARE = 0.25
"""Of the photos drawn. The more there are, the more of the truly dark photos are brightened, and
the more good photos of dark things are spoilt."""


def fit_lift(lift: Lift, mixture: Mixture, steps: int) -> float:
    """Fit on thumbnails by AdamW with a falling rate; returns the last mean absolute error.

    The absolute error's optimum is a median: photos of normal exposure are left as they are.
    """
    optimizer = torch.optim.AdamW(lift.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        thumbnails, peaks, clean = mixture.exposures(32, DARK_SHARE)
        lifted = undarkened(
            thumbnails,
            *lift.curve(describe(thumbnails, peaks, torch.ones_like(peaks[:, :1, 0, 0]))),
        )
        error = (lifted - clean).abs().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        schedule.step()
    lift.requires_grad_(False)
    return float(error.detach())

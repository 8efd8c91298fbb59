"""What is fitted before the networks, and held from then on: the tone curve and the router."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from enhancers.experts import DARKNESS, GRAIN, HOLES, WINDOW, Router, windows
from enhancers.layers import Lift, describe, undarkened
from enhancers.training.data import Mixture

DARK_SHARE = 0.25
"""Of the photos drawn. The more there are, the more of the truly dark photos are brightened, and
the more good photos of dark things are spoilt."""

ROUTER_CROP = 2 * WINDOW
"""Side of the router's crops: four windows."""


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


def fit_router(router: Router, mixture: Mixture, steps: int) -> float:
    """Fit to the families of crops; returns the share of the last ones told right.

    The crops, of `ROUTER_CROP` pixels, are seen as photos are, by several windows: a smooth window
    alone tells nothing, and a router that learnt from single ones doubts whole photos too.
    Undamaged crops count as grain: of all experts, that for noise of any strength leaves a good
    photo alone best. So do dark ones, which come here only where their darkness is in doubt.
    """
    optimizer = torch.optim.AdamW(router.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    right = torch.tensor(0.5)
    for _ in range(steps):
        batch = mixture.batch(12, ROUTER_CROP)
        clean = (batch.degraded == batch.clean).flatten(1).all(1)
        family = torch.where(clean | (batch.family == DARKNESS), GRAIN, batch.family)
        told = family != HOLES
        logits = router(windows(batch.degraded[told]))
        loss = F.cross_entropy(logits, family[told])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        right = torch.lerp(right, (logits.argmax(1) == family[told]).float().mean(), 0.02)
    router.requires_grad_(False)
    return float(right)

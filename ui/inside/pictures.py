"""Pictures of numbers, and the photo the figures are drawn for. No Gradio here."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from enhancers import images
from enhancers.inside import fitted
from ui import job
from ui.job import DAMAGE, REFERENCE

SIDE = 320
"""Longest side in pixels of the photo in these tabs: what a processor does while one waits."""

_STOPS = torch.tensor(
    [[0, 32, 77], [60, 77, 110], [124, 123, 120], [187, 174, 113], [255, 234, 70]]
) / torch.tensor(255)
"""From dark blue to bright yellow, ever brighter, and told apart by the colour-blind: in the manner
of cividis (Nuñez et al. 2018)."""


@dataclass(frozen=True)
class Subject:
    """The photo as these tabs see it: small, so that every figure takes seconds."""

    degraded: Tensor
    """(1, 3, H, W) in [0, 1], sides divisible by 8."""
    mask: Tensor
    clean: Tensor | None
    """None where the truth is not known."""

    @property
    def best(self) -> Tensor:
        """The truth where it is known, and else the photo as given."""
        return self.degraded if self.clean is None else self.clean


def load_subject(photo, how, degradation, severity, seed, reference) -> Subject:
    """Load the photo chosen in the Restore tab, shrink it and only then damage it as chosen there.

    Arguments as of `job.prepare`. Raises ValueError with a sentence for the user.
    """
    if how == DAMAGE:
        if photo is None:
            raise ValueError("Choose a photo in the Restore tab first.")
        clean = images.quantise(fitted(job.load(photo).pixels, SIDE))
        return Subject(*job.damaged(clean, degradation, severity, seed), clean)
    task = job.prepare(photo, how, reference=reference)
    degraded = images.quantise(fitted(task.degraded, SIDE))
    clean = images.quantise(fitted(task.clean, SIDE)) if how == REFERENCE else None
    return Subject(degraded, torch.zeros_like(degraded[:, :1]), clean)


def false_colour(plane: Tensor, low: float, high: float) -> Tensor:
    """Show numbers as colours, dark blue at `low` to yellow at `high`: (H, W) -> (1, 3, H, W)."""
    share = ((plane.float() - low) / max(high - low, 1e-12)).clamp(0, 1)
    place = share * (len(_STOPS) - 1)
    before = place.floor().clamp(max=len(_STOPS) - 2).long()
    colours = torch.lerp(_STOPS[before], _STOPS[before + 1], (place - before)[..., None])
    return colours.permute(2, 0, 1)[None]


def enlarged(picture: Tensor, factor: int) -> Tensor:
    """Repeat pixels, so that single ones can be seen."""
    return F.interpolate(picture, scale_factor=factor, mode="nearest")


def stacked(first: Tensor, second: Tensor) -> Tensor:
    """Put one picture above another of the same width."""
    return torch.cat([first, second], 2)

"""Enhancers without weights, to test everything around them quickly."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from enhancers.base import Enhancer, Option, Spec, randomness
from ui.job import LARGEST_SEED

SEEDS = {
    randomness(seed).initial_seed(): seed for seed in (*range(100), LARGEST_SEED - 1, LARGEST_SEED)
}
"""The seeds tests restore with, by those of the random numbers they lead to."""

TITLES = {"vae": "VAE", "gan": "GAN", "diffusion": "Diffusion"}


def options_of(name: str, steps: int) -> tuple[Option, ...]:
    if name == "gan":
        return (Option("realism", 0, 1, 1, "0 keeps to what is certain, 1 invents detail."),)
    if name == "diffusion":
        return (Option("steps", 1, 16, steps, "More steps, more detail.", integer=True),)
    return ()


class FakeEnhancer(Enhancer):
    """Moves every pixel towards its neighbourhood's mean by `strength`, in slow steps."""

    device = torch.device("cpu")

    def __init__(self, name: str, strength: float, seconds: float = 0.0, steps: int = 4):
        self.spec = Spec(
            name, TITLES[name], 1000, f"sha-of-{name}", options=options_of(name, steps)
        )
        self.strength, self.seconds, self.steps = strength, seconds, steps
        self.begun = self.done = 0
        """Steps begun and completed since this object was made."""

    def _restore(self, degraded, mask, generator, on_step, **options) -> Tensor:
        steps = int(options.get("steps", self.steps))
        smooth = torch.nn.functional.avg_pool2d(
            degraded, 3, stride=1, padding=1, count_include_pad=False
        )
        for step in range(1, steps + 1):
            self.begun += 1
            time.sleep(self.seconds)
            preview = torch.lerp(degraded, smooth, self.strength * step / steps).clamp(0, 1)
            self.done += 1
            on_step(step, steps, preview)
        return preview


def fake_enhancers(seconds: float = 0.0) -> list[FakeEnhancer]:
    """Two that help against noise, and a GAN that makes it worse."""
    return [
        FakeEnhancer("vae", 0.6, seconds, steps=1),
        FakeEnhancer("gan", -0.5, seconds, steps=1),
        FakeEnhancer("diffusion", 0.9, seconds),
    ]

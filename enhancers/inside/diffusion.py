"""Inside the diffusion model: noise added step by step, and taken away step by step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from enhancers.base import autocast, randomness
from enhancers.diffusion import DDIMScheduler, DiffusionEnhancer, make_solver
from enhancers.inside import Given, given

SCHEDULERS = {
    "sde": "SDE-DPM-Solver++ (2M)",
    "dpm": "DPM-Solver++ (2M)",
    "ddim": "DDIM",
}
"""Ways to walk from noise to a photo, and their names for people; the first is the enhancer's.

DDIM (Song et al. 2021) goes straight towards each prediction; DPM-Solver++ (Lu et al. 2022) also
uses the prediction before, to second order; its SDE form adds fresh noise after every step.
"""


@dataclass(frozen=True)
class Noisy:
    """A photo on its way to noise."""

    timestep: int
    signal: float
    """Share of the variance that the photo keeps, alpha-bar, 1 to 0."""
    state: Tensor
    """(1, 3, H, W): sqrt(signal) times the photo in [-1, 1], plus noise of variance 1 - signal."""

    @property
    def snr_db(self) -> float:
        """Signal-to-noise ratio alpha-bar / (1 - alpha-bar) in dB; -inf for pure noise."""
        ratio = self.signal / (1 - self.signal)
        return 10 * math.log10(ratio) if ratio > 1e-12 else -math.inf


@dataclass(frozen=True)
class Step:
    """One step of the reverse process."""

    number: int
    """From 1."""
    steps: int
    before: Noisy
    """What the network saw."""
    clean: Tensor
    """What it predicted from that, (1, 3, H, W) in [0, 1]."""


def visible(state: Tensor) -> Tensor:
    """Turn a state into a picture: what lies outside [-1, 1] is cut off."""
    return (0.5 * state + 0.5).clamp(0, 1)


def forward(
    diffusion: DiffusionEnhancer, clean: Tensor, timesteps: Sequence[int], seed: int = 0
) -> list[Noisy]:
    """Noise a photo as training does, one noise for all timesteps, so that they compare."""
    scheduler = DDIMScheduler.from_config(diffusion.scheduler_config)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    return [
        Noisy(
            t,
            float(scheduler.alphas_cumprod[t]),
            scheduler.add_noise(2 * clean - 1, noise, torch.tensor([t])),
        )
        for t in timesteps
    ]


def spread_timesteps(diffusion: DiffusionEnhancer, n: int) -> list[int]:
    """Return n timesteps from the first to the last, evenly spread."""
    last = diffusion.scheduler_config["num_train_timesteps"] - 1
    return [round(i * last / (n - 1)) for i in range(n)]


def walk(
    diffusion: DiffusionEnhancer,
    degraded: Tensor,
    mask: Tensor | None = None,
    *,
    steps: int,
    seed: int = 0,
    scheduler: str = "sde",
) -> Iterator[Step]:
    """Restore a photo and yield every step; by default the last is what `restore` returns.

    scheduler: a key of `SCHEDULERS`.
    """
    sampler = _sampler(diffusion, scheduler, steps)
    seen = given(degraded, mask, diffusion.device)
    generator = randomness(seed)
    state = torch.randn(degraded.shape, generator=generator).to(seen.degraded)
    estimate = diffusion.estimate(seen.degraded, seen.mask)
    for i, timestep in enumerate(sampler.timesteps):
        now = Noisy(int(timestep), float(diffusion.alpha_bars[timestep]), state.cpu())
        clean = _denoised(diffusion, now, estimate, seen)
        yield Step(i + 1, steps, now, clean.cpu())
        if i + 1 < steps:
            noise = torch.randn(state.shape, generator=generator).to(state)  # for those that ask
            step = sampler.step(2 * clean - 1, timestep, state, variance_noise=noise)
            state = step.prev_sample


@torch.inference_mode()
def _denoised(diffusion: DiffusionEnhancer, now: Noisy, estimate: Tensor, seen: Given) -> Tensor:
    """Predict the clean photo, (1, 3, H, W) in [0, 1], on the enhancer's device."""
    device = diffusion.device
    time, signal = torch.tensor([now.timestep]), torch.tensor([now.signal])
    with autocast(device):
        clean = diffusion.unet.predict(
            now.state.to(device),
            time.to(device),
            signal.to(device),
            estimate,
            seen.degraded,
            seen.mask,
        )
    return clean.float().clamp(0, 1)


def _sampler(diffusion: DiffusionEnhancer, name: str, steps: int):
    if name not in SCHEDULERS:
        raise ValueError(f"Unknown scheduler '{name}'; choose among {', '.join(SCHEDULERS)}.")
    if name == "ddim":
        sampler = DDIMScheduler.from_config(diffusion.scheduler_config)
        sampler.set_timesteps(steps)
        return sampler
    algorithm = "sde-dpmsolver++" if name == "sde" else "dpmsolver++"
    return make_solver(diffusion.scheduler_config, steps, algorithm)

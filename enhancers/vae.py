"""The variational autoencoder: a ladder whose latents are drawn, and priced by their priors.

Priors run top-down: N(0, I) at 1/8, and below it a Gaussian predicted from what the decoder has
made of the latents above. The Kullback-Leibler divergence of the posteriors from them is the
price of the code in nats.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from enhancers.base import Enhancer, OnStep, autocast, tiled
from enhancers.experts import load_experts
from enhancers.ladder import Ladder, LadderConfig, Seen
from enhancers.layers import conv1x1, exposure
from enhancers.weights import read_spec


@dataclass(frozen=True)
class Latents:
    """What one pass found at one level; each (N, C, H/f, W/f)."""

    sample: Tensor
    mean: Tensor
    logvar: Tensor
    prior_mean: Tensor
    prior_logvar: Tensor

    def kl(self) -> Tensor:
        """KL(posterior || prior) in nats, elementwise and unsummed."""
        difference = (self.mean - self.prior_mean) ** 2
        ratio = (self.logvar.exp() + difference) / self.prior_logvar.exp()
        return 0.5 * (ratio - 1 + self.prior_logvar - self.logvar)


class VAE(Ladder):
    """Encoder, top-down priors and decoder; sides must be divisible by 8."""

    def __init__(self, config: LadderConfig):
        super().__init__(config)
        self.priors = nn.ModuleList(
            conv1x1(w, 2 * c, gain=0.05)
            for w, c in zip(config.widths[1:], config.latents[1:], strict=True)
        )

    def forward(
        self,
        degraded: Tensor,
        mask: Tensor,
        exposure: Tensor,
        noise: list[Tensor] | None = None,
    ) -> tuple[Tensor, list[Latents]]:
        """Encode and decode; returns (restored (N, 3, H, W), [Latents at 1/8, 1/4, 1/2]).

        noise: standard normal tensors shaped like the latents (`latent_shapes`); None decodes
        the posterior means.
        """
        return self.decode(self.encode(degraded, mask, exposure), noise=noise)

    def decode(
        self,
        encoded: Seen | None = None,
        *,
        noise: list[Tensor] | None = None,
        given: list[Tensor | None] | None = None,
    ) -> tuple[Tensor, list[Latents]]:
        """Top-down pass; returns (restored, [Latents]).

        encoded: from `encode`; None samples every level from its prior (`noise` then required).
        given: latents to use in place of a level's sample, to edit or to interpolate.
        """
        levels: list[Latents] = []

        def latent(level: int, features: Tensor | None) -> Tensor:
            if encoded is None:
                prior = mean, logvar = self.prior(level, features, noise[level])
            else:
                mean, logvar = self.posterior(level, encoded, features)
                prior = self.prior(level, features, mean)
            sample = mean if noise is None else mean + (0.5 * logvar).exp() * noise[level]
            if given is not None and given[level] is not None:
                sample = given[level]
            levels.append(Latents(sample, mean, logvar, *prior))
            return sample

        return self.build(latent), levels

    def prior(self, level: int, features: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of a level's prior, shaped like the latent `like`."""
        if features is None:
            return torch.zeros_like(like), torch.zeros_like(like)
        mean, logvar = self.priors[level - 1](features).chunk(2, 1)
        return mean, logvar.clamp(-5, 4)  # a prior too sure of itself diverges


class VAEEnhancer(Enhancer):
    """Restores by decoding the posterior means: one pass, the same for every seed."""

    def __init__(self, folder: Path, device: torch.device):
        self.spec = read_spec(folder, "vae")
        self.device = device
        self.network = load_experts(VAE, folder).to(device)

    def _restore(
        self, degraded: Tensor, mask: Tensor, generator: torch.Generator, on_step: OnStep
    ) -> Tensor:
        whole = exposure(degraded, mask)
        families = self.network.families(degraded, mask, whole)

        def network(degraded: Tensor, mask: Tensor) -> Tensor:
            with autocast(self.device):
                restored = self.network(families, VAE.means, degraded, mask, whole)
            return restored.float()

        return tiled(network, degraded, mask, multiple=VAE.multiple, on_step=on_step)

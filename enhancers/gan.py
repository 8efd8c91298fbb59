"""The generative adversarial network: a ladder as generator, and a patch discriminator.

The generator first learns to restore faithfully, then against a discriminator that sees the
degraded photo too and so judges whether a result is real *and* belongs to it. Both sets of
weights ship: they share their beginning, so every mixture of the two restores (Wang et al. 2018,
ESRGAN's network interpolation), and the user chooses how much to invent.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from enhancers.base import Enhancer, OnStep, autocast, tiled
from enhancers.experts import Experts, load_experts
from enhancers.ladder import FACTORS, Ladder, detail
from enhancers.layers import conv1x1, conv3x3, exposure
from enhancers.weights import read_spec

DETAIL_SCALE = 8.0
"""By how much the discriminator enlarges what an average over 4x4 pixels leaves out."""


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Feature channels of the discriminator at 1/2, 1/4 and 1/8 of the resolution."""

    widths: tuple[int, int, int] = (32, 64, 128)


class Generator(Ladder):
    """Ladder whose latents are shaken by noise; no prior holds them, the discriminator does."""

    def forward(self, degraded: Tensor, mask: Tensor, exposure: Tensor, noise: Tensor) -> Tensor:
        """Restore; (N, 3, H, W), about [0, 1].

        noise: (N, 1, H, W), standard normal, chooses one of the plausible results; zero gives
        the results' centre.
        """
        seen = self.encode(degraded, mask, exposure)

        def latent(level: int, features: Tensor | None) -> Tensor:
            mean, logvar = self.posterior(level, seen, features)
            # Pixels side by side become channels, so that tiles get the noise of the whole photo;
            # where these are fewer than the latent has, it is shared, as grain is among colours.
            folded = F.pixel_unshuffle(noise, FACTORS[level])
            folded = folded.repeat(1, math.ceil(mean.shape[1] / folded.shape[1]), 1, 1)
            return mean + (0.5 * logvar).exp() * folded[:, : mean.shape[1]]

        return self.build(latent)


class Discriminator(nn.Module):
    """Map of realism: one logit per 8x8 patch, seeing about 70 pixels around it."""

    def __init__(self, config: DiscriminatorConfig):
        super().__init__()
        self.config = config
        w2, w4, w8 = config.widths
        self.layers = nn.ModuleList(
            [
                conv3x3(4 * 13, w2),
                conv3x3(w2, w2),
                conv3x3(w2, w4, stride=2),
                conv3x3(w4, w4),
                conv3x3(w4, w8, stride=2),
                conv3x3(w8, w8),
            ]
        )
        self.logit = conv1x1(w8, 1, gain=0.1)

    def forward(self, photo: Tensor, degraded: Tensor, mask: Tensor) -> Tensor:
        """Logits that `photo` is real, given what it was restored from; (N, 1, H/8, W/8)."""
        # Detail apart and enlarged: it is what tells real photos from restored ones.
        pictures = torch.cat([photo, degraded], 1)
        fine = DETAIL_SCALE * detail(pictures)
        x = F.pixel_unshuffle(torch.cat([2 * pictures - 1, fine, mask], 1), 2)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        return self.logit(x)


class GANEnhancer(Enhancer):
    """Restores with a mixture of the faithful and the adversarial generator."""

    def __init__(self, folder: Path, device: torch.device):
        self.spec = read_spec(folder, "gan")
        self.device = device
        self.adversarial = load_experts(Generator, folder).to(device)
        self.faithful = load_experts(Generator, folder / "faithful").to(device)

    def _restore(
        self,
        degraded: Tensor,
        mask: Tensor,
        generator: torch.Generator,
        on_step: OnStep,
        realism: float,
    ) -> Tensor:
        whole = exposure(degraded, mask)
        noise = torch.randn(mask.shape, generator=generator).to(degraded) * realism
        mixed = self.mixed(realism)
        families = mixed.families(degraded, mask, whole)

        def network(degraded: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
            with autocast(self.device):
                restored = mixed(families, Generator.forward, degraded, mask, whole, noise)
            return restored.float()

        return tiled(network, degraded, mask, noise, multiple=Generator.multiple, on_step=on_step)

    def mixed(self, realism: float) -> Experts:
        """Generators whose weights lie `realism` of the way from faithful to adversarial."""
        if realism in (0, 1):
            return self.adversarial if realism else self.faithful
        network = deepcopy(self.faithful)
        torch._foreach_lerp_(
            list(network.parameters()), list(self.adversarial.parameters()), realism
        )
        return network

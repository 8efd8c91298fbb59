"""The variational autoencoder: a ladder of spatial latents in the bands of a Laplacian pyramid.

The encoder turns the degraded photo into Gaussian posteriors over three latents, at 1/8, 1/4 and
1/2 of the resolution; the decoder makes the restored photo of samples (or means) of these alone.
There is no other path. Priors run top-down: N(0, I) at 1/8, and below it a Gaussian predicted
from what the decoder has made of the latents above (Sonderby et al. 2016, Ladder VAE).

At the start of training the posterior means are the pyramid bands of the input, and the decoder
adds the bands up again, so that the network begins as the identity and learns to restore.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from enhancers.base import Enhancer, OnStep, autocast, tiled
from enhancers.layers import (
    INPUT_CHANNELS,
    Head,
    Lift,
    Up,
    blocks,
    conv1x1,
    conv3x3,
    down,
    exposure,
    network_input,
    thumbnail,
)
from enhancers.weights import load_network, read_spec

BAND_SCALE = (4.0, 8.0, 16.0)
"""Pixel differences of each band (1/8, 1/4, 1/2) times this give latents of about unit size."""


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of the network; level 0 is 1/8 of the resolution, level 2 is 1/2."""

    widths: tuple[int, int, int] = (160, 96, 48)
    """Feature channels at 1/8, 1/4, 1/2."""
    latents: tuple[int, int, int] = (16, 12, 16)
    """Latent channels; the first 3, 3 and 12 start as the pyramid bands."""
    encoder_blocks: tuple[int, int, int] = (1, 1, 1)
    decoder_blocks: tuple[int, int, int] = (2, 1, 2)


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


class VAE(nn.Module):
    """Encoder, top-down priors and decoder; sides must be divisible by 8."""

    multiple = 8

    def __init__(self, config: VAEConfig):
        super().__init__()
        self.config = config
        w8, w4, w2 = config.widths
        e8, e4, e2 = config.encoder_blocks
        d8, d4, d2 = config.decoder_blocks
        self.lift = Lift()
        self.encode2 = nn.Sequential(conv3x3(INPUT_CHANNELS, w2), blocks(w2, e2))
        self.encode4 = nn.Sequential(down(w2, w4), blocks(w4, e4))
        self.encode8 = nn.Sequential(down(w4, w8), blocks(w8, e8))
        self.posteriors = nn.ModuleList(
            conv1x1(inputs, 2 * c, gain=0.05)
            for inputs, c in zip((w8, 2 * w4, 2 * w2), config.latents, strict=True)
        )
        self.priors = nn.ModuleList(
            conv1x1(w, 2 * c, gain=0.05) for w, c in zip((w4, w2), config.latents[1:], strict=True)
        )
        self.embed = nn.ModuleList(
            conv3x3(c, w) for c, w in zip(config.latents, config.widths, strict=True)
        )
        self.decode8 = nn.Sequential(blocks(w8, d8), Up(w8, w4))
        self.decode4 = nn.Sequential(blocks(w4, d4), Up(w4, w2))
        self.decode2 = blocks(w2, d2)
        self.head = Head(w2)
        for posterior in self.posteriors:  # sharp posteriors first, widened by the KL term
            posterior.bias.data.chunk(2)[1].fill_(-4.0)

    def forward(
        self,
        degraded: Tensor,
        mask: Tensor,
        exposure: Tensor,
        noise: list[Tensor] | None = None,
    ):
        """Encode and decode; returns (restored (N, 3, H, W), [Latents at 1/8, 1/4, 1/2]).

        noise: standard normal tensors shaped like the latents (`latent_shapes`); None decodes
        the posterior means.
        """
        return self.decode(self.encode(degraded, mask, exposure), noise=noise)

    def encode(
        self, degraded: Tensor, mask: Tensor, exposure: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """Bottom-up pass: per level (1/8, 1/4, 1/2) features and the pyramid band, scaled."""
        lifted = self.lift(degraded, exposure)
        features2 = self.encode2(network_input(degraded, lifted, mask, exposure))
        features4 = self.encode4(features2)
        features8 = self.encode8(features4)
        coarse = F.avg_pool2d(lifted, 8) - 0.5
        middle = F.avg_pool2d(lifted, 4) - 0.5
        bands = (
            coarse,
            middle - _enlarge(coarse, 2),
            F.pixel_unshuffle(lifted - 0.5 - _enlarge(middle, 4), 2),
        )
        return [
            (features, band * scale)
            for features, band, scale in zip(
                (features8, features4, features2), bands, BAND_SCALE, strict=True
            )
        ]

    def decode(
        self,
        encoded: list[tuple[Tensor, Tensor]] | None = None,
        *,
        noise: list[Tensor] | None = None,
        given: list[Tensor | None] | None = None,
    ):
        """Top-down pass; returns (restored, [Latents]).

        encoded: from `encode`; None samples every level from its prior (`noise` then required).
        given: latents to use in place of a level's sample, to edit or to interpolate.
        """
        levels: list[Latents] = []
        pixels, features = None, None
        for level, channels in enumerate(self.config.latents):
            if level == 0:
                prior_mean = prior_logvar = None
            else:
                prior_mean, prior_logvar = self.priors[level - 1](features).chunk(2, 1)
                prior_logvar = prior_logvar.clamp(-5, 4)  # a prior too sure of itself diverges
            if encoded is None:
                mean, logvar = prior_mean, prior_logvar
                if level == 0:
                    mean = logvar = torch.zeros_like(noise[0])
            else:
                seen, band = encoded[level]
                posterior = self.posteriors[level]
                if level == 0:
                    both = posterior(seen)
                else:  # as of both in one tensor, without the copy
                    weights = posterior.weight.split(seen.shape[1], 1)
                    both = F.conv2d(seen, weights[0], posterior.bias)
                    both = both.add_(F.conv2d(features, weights[1]))
                mean, logvar = both.chunk(2, 1)
                mean = mean + F.pad(band, (0, 0, 0, 0, 0, channels - band.shape[1]))
            logvar = logvar.clamp(-12, 4)
            if level == 0:
                prior_mean, prior_logvar = torch.zeros_like(mean), torch.zeros_like(mean)
            sample = mean if noise is None else mean + (0.5 * logvar).exp() * noise[level]
            if given is not None and given[level] is not None:
                sample = given[level]
            levels.append(Latents(sample, mean, logvar, prior_mean, prior_logvar))

            embedded = self.embed[level](sample)
            features = embedded if level == 0 else embedded.add_(features)
            features = (self.decode8, self.decode4, self.decode2)[level](features)
            bands = (3, 3, 12)[level]
            band = sample[:, :bands] / BAND_SCALE[level]
            if level == 0:
                pixels = band
            elif level == 1:
                pixels = _enlarge(pixels, 2) + band
            else:
                pixels = _enlarge(pixels, 4) + F.pixel_shuffle(band, 2)
        return self.head(pixels + 0.5, features), levels

    def latent_shapes(self, n: int, height: int, width: int) -> list[tuple[int, int, int, int]]:
        """Shapes of the latents of n photos whose sides are divisible by 8."""
        return [
            (n, c, height // f, width // f)
            for c, f in zip(self.config.latents, (8, 4, 2), strict=True)
        ]


def _enlarge(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class VAEEnhancer(Enhancer):
    """Restores by decoding the posterior means: one pass, the same for every seed."""

    def __init__(self, folder: Path, device: torch.device):
        self.spec = read_spec(folder, "vae")
        self.device = device
        self.network = load_network(VAE, VAEConfig, folder).to(device)

    def _restore(
        self, degraded: Tensor, mask: Tensor, generator: torch.Generator, on_step: OnStep
    ) -> Tensor:
        whole = exposure(thumbnail(degraded, mask))

        def network(x: Tensor) -> Tensor:
            with autocast(self.device):
                restored, _ = self.network(x[:, :3], x[:, 3:], whole)
            return restored.float()

        return tiled(network, degraded, mask, multiple=VAE.multiple, on_step=on_step)

"""The ladder: a network whose restored photo is made of latents in the bands of a pyramid.

The encoder turns the degraded photo into a Gaussian over three latents, at 1/8, 1/4 and 1/2 of
the resolution; the decoder makes the restored photo of one latent per level, top-down, and there
is no other path (Sonderby et al. 2016, Ladder VAE). The means begin as the bands of the input's
Laplacian pyramid, which the decoder adds up again, so that the network begins as the identity.
What is drawn from the Gaussians, and what that teaches, differs from family to family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from enhancers.layers import (
    TONES,
    Head,
    Lift,
    blocks,
    conv1x1,
    conv3x3,
    down,
    kaiming,
    network_input,
    stem,
    up,
)

FACTORS = (8, 4, 2)
"""By how much each level is smaller than the photo."""

BAND_CHANNELS = (3, 3, 12)
"""Of each level's latent, the channels that hold its band of the pyramid."""

BAND_SCALE = (4.0, 8.0, 16.0)
"""Pixel differences of each band times this give latents of about unit size."""

DETAIL_SCALE = 16.0
"""By how much a network's view of `detail` is enlarged, to about unit size."""


@dataclass(frozen=True)
class LadderConfig:
    """Sizes of the network; level 0 is 1/8 of the resolution, level 2 is 1/2."""

    widths: tuple[int, int, int] = (160, 96, 48)
    """Feature channels at 1/8, 1/4, 1/2."""
    latents: tuple[int, int, int] = (16, 12, 16)
    """Latent channels, at least `BAND_CHANNELS`."""
    encoder_blocks: tuple[int, int, int] = (1, 1, 1)
    decoder_blocks: tuple[int, int, int] = (2, 1, 2)


Seen = list[tuple[Tensor, Tensor]]
"""What the encoder found per level: features (N, C, H/f, W/f), and the band, scaled."""


class Ladder(nn.Module):
    """Encoder, posteriors and decoder; photos' sides must be divisible by 8."""

    multiple = 8

    def __init__(self, config: LadderConfig):
        super().__init__()
        self.config = config
        w8, w4, w2 = config.widths
        e8, e4, e2 = config.encoder_blocks
        d8, d4, d2 = config.decoder_blocks
        self.lift = Lift()
        self.stem = stem(w2)
        self.exposed = kaiming(nn.Linear(TONES, w2))
        self.encode2 = blocks(w2, e2)
        self.encode4 = nn.Sequential(down(w2, w4), blocks(w4, e4))
        self.encode8 = nn.Sequential(down(w4, w8), blocks(w8, e8))
        self.posteriors = nn.ModuleList(
            conv1x1(inputs, 2 * c, gain=0.05)
            for inputs, c in zip((w8, 2 * w4, 2 * w2), config.latents, strict=True)
        )
        self.embed = nn.ModuleList(
            conv3x3(c, w) for c, w in zip(config.latents, config.widths, strict=True)
        )
        self.decode8 = nn.Sequential(blocks(w8, d8), up(w8, w4))
        self.decode4 = nn.Sequential(blocks(w4, d4), up(w4, w2))
        self.decode2 = blocks(w2, d2)
        self.head = Head(w2)
        for posterior in self.posteriors:  # sharp at first
            posterior.bias.data.chunk(2)[1].fill_(-4.0)

    def encode(self, degraded: Tensor, mask: Tensor, exposure: Tensor) -> Seen:
        """Bottom-up pass.

        degraded: (N, 3, H, W) in [0, 1]. mask: (N, 1, H, W), 1 where a pixel is unknown.
        exposure: of the whole photo, (N, 12), from `layers.exposure`.
        """
        lifted = self.lift(degraded, exposure)
        features = self.stem(network_input(degraded, lifted, mask))
        features2 = self.encode2(
            features.add_(self.exposed(2 * exposure[:, :TONES] - 1)[..., None, None])
        )
        features4 = self.encode4(features2)
        features8 = self.encode8(features4)
        coarse = F.avg_pool2d(lifted, 8) - 0.5
        middle = F.avg_pool2d(lifted, 4) - 0.5
        bands = (
            coarse,
            middle - enlarge(coarse, 2),
            F.pixel_unshuffle(lifted - 0.5 - enlarge(middle, 4), 2),
        )
        return [
            (features, band * scale)
            for features, band, scale in zip(
                (features8, features4, features2), bands, BAND_SCALE, strict=True
            )
        ]

    def means(self, degraded: Tensor, mask: Tensor, exposure: Tensor) -> Tensor:
        """Restore by the posterior means, (N, 3, H, W), about [0, 1]; arguments as in `encode`."""
        seen = self.encode(degraded, mask, exposure)
        return self.build(lambda level, features: self.posterior(level, seen, features)[0])

    def posterior(self, level: int, seen: Seen, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and log variance of a level's latent.

        features: what the decoder has made of the latents above, (N, C, H/f, W/f); None at the top.
        """
        here, band = seen[level]
        layer = self.posteriors[level]
        if features is None:
            both = layer(here)
        else:  # as of both in one tensor, without the copy
            weights = layer.weight.split(here.shape[1], 1)
            both = F.conv2d(here, weights[0], layer.bias).add_(F.conv2d(features, weights[1]))
        mean, logvar = both.chunk(2, 1)
        mean = mean + F.pad(band, (0, 0, 0, 0, 0, mean.shape[1] - band.shape[1]))
        return mean, logvar.clamp(-12, 4)

    def build(self, latent: Callable[[int, Tensor | None], Tensor]) -> Tensor:
        """Top-down pass: the photo, (N, 3, H, W), about [0, 1].

        latent: called with each level and the decoder's features there (as in `posterior`);
        returns the latent to go on with, (N, C, H/f, W/f).
        """
        stages = self.decode8, self.decode4, self.decode2
        pixels, features = None, None
        for level, stage in enumerate(stages):
            drawn = latent(level, features)
            embedded = self.embed[level](drawn)
            features = stage(embedded if features is None else embedded.add_(features))
            band = drawn[:, : BAND_CHANNELS[level]] / BAND_SCALE[level]
            pixels = _add_band(pixels, band)
        return self.head(pixels + 0.5, features)

    def latent_shapes(self, n: int, height: int, width: int) -> list[tuple[int, int, int, int]]:
        """Shapes of the latents of n photos whose sides are divisible by 8."""
        return [
            (n, c, height // f, width // f)
            for c, f in zip(self.config.latents, FACTORS, strict=True)
        ]


def _add_band(pixels: Tensor | None, band: Tensor) -> Tensor:
    """Go down one level of the pyramid; the last band is of pixels that stand side by side."""
    if pixels is None:
        return band
    if band.shape[1] == 3:
        return enlarge(pixels, 2) + band
    return enlarge(pixels, 4) + F.pixel_shuffle(band, 2)


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Bilinear interpolation to `factor` times the size."""
    x = x.contiguous()  # three times as fast for few channels
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def detail(x: Tensor) -> Tensor:
    """What an average over 4x4 pixels leaves out; sides divisible by 4."""
    return x - enlarge(F.avg_pool2d(x, 4), 4)

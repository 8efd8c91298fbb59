"""The generative adversarial network: a U-Net generator and a patch discriminator.

The generator first learns to restore faithfully, then against a discriminator that sees the
degraded photo too and so judges whether a result is real *and* belongs to it. Both sets of
weights ship: they share their beginning, so every mixture of the two restores (Wang et al. 2018,
ESRGAN's network interpolation), and the user chooses how much to invent.
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


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of the generator at 1/2, 1/4 and 1/8 of the resolution."""

    widths: tuple[int, int, int] = (48, 96, 192)
    encoder_blocks: tuple[int, int] = (2, 1)
    middle_blocks: int = 3
    decoder_blocks: tuple[int, int] = (2, 1)


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Feature channels of the discriminator at 1/2, 1/4 and 1/8 of the resolution."""

    widths: tuple[int, int, int] = (32, 64, 128)


class Generator(nn.Module):
    """U-Net with residual blocks and additive skips; sides must be divisible by 8."""

    multiple = 8

    def __init__(self, config: GeneratorConfig):
        super().__init__()
        self.config = config
        w2, w4, w8 = config.widths
        e2, e4 = config.encoder_blocks
        d2, d4 = config.decoder_blocks
        self.lift = Lift()
        self.stem = conv3x3(INPUT_CHANNELS + 4, w2)
        # Whispered at first: the noise enters a network that has learnt without it.
        self.stem.weight.data[:, INPUT_CHANNELS:] *= 0.1
        self.encode2 = blocks(w2, e2)
        self.encode4 = nn.Sequential(down(w2, w4), blocks(w4, e4))
        self.middle = nn.Sequential(down(w4, w8), blocks(w8, config.middle_blocks), Up(w8, w4))
        self.decode4 = nn.Sequential(blocks(w4, d4), Up(w4, w2))
        self.decode2 = blocks(w2, d2)
        self.head = Head(w2)

    def forward(self, degraded: Tensor, mask: Tensor, exposure: Tensor, noise: Tensor) -> Tensor:
        """Restore; noise (N, 1, H, W), standard normal, chooses one of the plausible results."""
        lifted = self.lift(degraded, exposure)
        x = self.stem(network_input(degraded, lifted, mask, exposure, noise))
        x2 = self.encode2(x)
        x4 = self.encode4(x2)
        x = self.decode4(self.middle(x4).add_(x4))
        return self.head(lifted, self.decode2(x.add_(x2)))


class Discriminator(nn.Module):
    """Map of realism: one logit per 8x8 patch, seeing about 70 pixels around it."""

    def __init__(self, config: DiscriminatorConfig):
        super().__init__()
        self.config = config
        w2, w4, w8 = config.widths
        self.layers = nn.ModuleList(
            [
                conv3x3(4 * 7, w2),
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
        return self.features(photo, degraded, mask)[-1]

    def features(self, photo: Tensor, degraded: Tensor, mask: Tensor) -> list[Tensor]:
        """Activations of every layer, the logits last."""
        x = torch.cat([2 * photo - 1, 2 * degraded - 1, mask], 1)
        x = F.pixel_unshuffle(x, 2)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return [*features, self.logit(x)]


class GANEnhancer(Enhancer):
    """Restores with a mixture of the faithful and the adversarial generator."""

    def __init__(self, folder: Path, device: torch.device):
        self.spec = read_spec(folder, "gan")
        self.device = device
        self.adversarial = load_network(Generator, GeneratorConfig, folder).to(device)
        self.faithful = load_network(Generator, GeneratorConfig, folder / "faithful").to(device)

    def _restore(
        self,
        degraded: Tensor,
        mask: Tensor,
        generator: torch.Generator,
        on_step: OnStep,
        realism: float,
    ) -> Tensor:
        whole = exposure(thumbnail(degraded, mask))
        noise = torch.randn(mask.shape, generator=generator).to(degraded) * realism
        mixed = self.mixed(realism)

        def network(x: Tensor) -> Tensor:
            with autocast(self.device):
                restored = mixed(x[:, :3], x[:, 3:4], whole, x[:, 4:])
            return restored.float()

        return tiled(network, degraded, mask, noise, multiple=Generator.multiple, on_step=on_step)

    def mixed(self, realism: float) -> Generator:
        """Generator whose weights lie `realism` of the way from faithful to adversarial."""
        if realism in (0, 1):
            return self.adversarial if realism else self.faithful
        network = Generator(self.adversarial.config).to(self.device).requires_grad_(False)
        network = network.to(memory_format=torch.channels_last)
        start, end = self.faithful.state_dict(), self.adversarial.state_dict()
        network.load_state_dict({k: torch.lerp(v, end[k], realism) for k, v in start.items()})
        return network.eval()

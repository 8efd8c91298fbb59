"""The three real enhancers with small random networks: quick, and wrong in every way that shows."""

from __future__ import annotations

from pathlib import Path

import torch

import enhancers
from enhancers.diffusion import RestorationUNet, make_scheduler
from enhancers.experts import Experts
from enhancers.gan import Discriminator, DiscriminatorConfig, Generator
from enhancers.ladder import Ladder, LadderConfig
from enhancers.vae import VAE
from enhancers.weights import save_network, save_unet

SMALL = LadderConfig(widths=(16, 16, 16), latents=(4, 4, 12))


def tiny_enhancers(folder: Path) -> dict[str, enhancers.Enhancer]:
    """Write their weights to a folder and load them, by name."""
    torch.manual_seed(0)
    save_network(Experts(VAE, SMALL), folder / "vae")
    for part in (".", "faithful"):
        save_network(Experts(Generator, SMALL), folder / "gan" / part)
    discriminator = Discriminator(DiscriminatorConfig(widths=(8, 8, 8)))
    save_network(discriminator, folder / "gan" / "discriminator")
    unet = RestorationUNet(block_out_channels=(8, 16, 16), layers_per_block=1)
    save_network(Experts(Ladder, SMALL), folder / "diffusion" / "mean")
    save_unet(unet, make_scheduler(), folder / "diffusion")
    return {name: enhancers.load(name, folder=folder / name) for name in enhancers.NAMES}

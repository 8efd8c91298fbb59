"""Inside the GAN: what its discriminator thinks, and how the two fought.

Samples, the path from faithful to realistic and pictures from noise alone need nothing special:
they are `GANEnhancer.restore` with other seeds, other values of `realism`, and everything masked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from enhancers.base import autocast
from enhancers.gan import Discriminator, DiscriminatorConfig
from enhancers.inside import given
from enhancers.weights import FOLDER, load_network

LOG = FOLDER.parent / "training" / "gan.jsonl"
"""`log.jsonl` of the training run, as `python -m enhancers.training gan` writes it."""


def load_discriminator(folder: Path = FOLDER / "gan" / "discriminator") -> Discriminator:
    """Load the discriminator that trained the shipped GAN, or the one in `folder`."""
    return load_network(Discriminator, DiscriminatorConfig, folder)


@torch.inference_mode()
def realism(
    discriminator: Discriminator, picture: Tensor, degraded: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Return where a picture looks real: the discriminator's probability, (H/8, W/8) in [0, 1].

    picture, degraded: (1, 3, H, W) in [0, 1]. The discriminator judges the picture as a
    restoration of `degraded`; 0.5 means that it cannot tell.
    """
    device = next(discriminator.parameters()).device
    seen = given(degraded, mask, device)
    with autocast(device):
        logits = discriminator(picture.to(device), seen.degraded, seen.mask)
    return logits.float().sigmoid()[0, 0].cpu()


@dataclass(frozen=True)
class Curves:
    """Numbers of a training run over time."""

    minutes: tuple[float, ...]
    values: dict[str, tuple[float, ...]]
    """By the log's names; each as long as `minutes`."""
    shipped: bool
    """Whether the run ended at the step at which the weights say that theirs did."""


ADVERSARIAL = ("d_loss", "g_adversarial", "d_real", "d_fake")
"""What the log holds of the contest: both losses, and D's mean probability for real and fake."""


def read_curves(training: dict, path: Path = LOG) -> Curves | None:
    """Read the adversarial phase of a training log; None where there is no such log.

    training: `Spec.training` of the weights that the log may belong to.
    """
    if not path.is_file():
        return None
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    phase = [line for line in lines if all(name in line for name in ADVERSARIAL)]
    return Curves(
        tuple(line["minutes"] for line in phase),
        {name: tuple(line[name] for line in phase) for name in ADVERSARIAL},
        bool(lines) and lines[-1]["step"] == training.get("steps"),
    )

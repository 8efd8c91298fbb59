"""Training of the GAN: a faithful generator first, then the same against a discriminator."""

from __future__ import annotations

import math
from copy import deepcopy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from enhancers.base import autocast, randomness
from enhancers.experts import FAMILIES, Experts
from enhancers.gan import Discriminator, DiscriminatorConfig, Generator
from enhancers.ladder import LadderConfig
from enhancers.training.data import Batch
from enhancers.training.losses import FLOOR, error_of_mean, log_mse, variance
from enhancers.training.recipe import Recipe, Trainer, adam
from enhancers.weights import save_network

TEMPERS = {
    "grain": (0.5, 1.0),
    "softness": (0.6, 0.5),
    "coarseness": (0.7, 0.7),
    "blocks": (0.5, 1.0),
    "darkness": (0.5, 1.0),
    "holes": (0.6, 0.2),
}
"""Families whose own layers are exported this far towards the adversarial weights, and with this
part of their noise: in full they leave ragged edges where the damage took the detail, and more
grain than photos have."""


class GANRecipe(Recipe):
    """Two phases: fidelity alone, then non-saturating GAN losses with R1 (Mescheder et al. 2018).

    In the second phase the fidelity is that of the mean over the noise (Ohayon et al. 2021): a
    penalty on each sample would teach the generator to ignore its noise.
    """

    faithful_share = 0.4
    """Share of the run before the discriminator enters."""
    adversarial_rate = 2e-4
    discriminator_rate = 1e-3
    adversarial_weight = 0.2
    """Of the generator's adversarial loss, in nats against half the log of the squared error."""
    spread_weight = 0.1
    """Of the samples' variance beside the squared error of their mean; 0.5 is that of two."""
    penalty_weight = 0.0015
    penalty_every = 8

    def __init__(
        self,
        config: LadderConfig | None = None,
        discriminator: DiscriminatorConfig | None = None,
    ):
        self.network = Experts(Generator, config or LadderConfig())
        self.optimizer = adam(self.network, self.learning_rate)
        self.discriminator = Discriminator(discriminator or DiscriminatorConfig())
        self.discriminator_optimizer = adam(
            self.discriminator, self.discriminator_rate, (0.5, 0.99)
        )
        self.faithful: nn.Module | None = None
        """The generator as the first phase left it; None before."""
        self.adversarial_steps = 0

    def begin_as(self, folder: Path) -> None:
        """Begin with trained ladders, which are faithful already: the discriminator enters."""
        super().begin_as(folder)
        self.faithful_share = 0.0

    def rate(self, step: int, progress: float) -> float:
        """Cosine over the first phase; in the second, constant and falling at the end."""
        if progress < self.faithful_share:
            return super().rate(step, progress / self.faithful_share)
        done = (progress - self.faithful_share) / (1 - self.faithful_share)
        return self.adversarial_rate * max(0.05, min(1.0, 2 * (1 - done)))

    def step(self, batch: Batch, progress: float, trainer: Trainer) -> dict[str, Tensor]:
        """Update the generator and, in the second phase, the discriminator before it."""
        if progress < self.faithful_share:
            return self._faithful_step(batch, progress / self.faithful_share, trainer)
        if self.faithful is None:
            self.network.load_state_dict(trainer.average.state_dict())
            self.faithful = deepcopy(trainer.average)
            self.optimizer.state.clear()
        return self._adversarial_step(batch, trainer)

    def _faithful_step(self, batch: Batch, progress: float, trainer: Trainer) -> dict[str, Tensor]:
        with autocast(trainer.device):
            restored = self.network(
                batch.family,
                Generator.forward,
                batch.degraded,
                batch.mask,
                batch.exposure,
                torch.zeros_like(batch.mask),
            )
        restored = restored.float()
        loss = log_mse(restored, batch.clean, self.floor(progress)).mean()
        norm = trainer.update(loss, self.network, self.optimizer)
        error = log_mse(restored.detach(), batch.clean).mean()
        return {"loss": loss.detach(), "log_mse": error, "gradient": norm}

    def _adversarial_step(self, batch: Batch, trainer: Trainer) -> dict[str, Tensor]:
        # Every other photo, two samples of each.
        clean, degraded, mask, whole, family = (
            x[::2] for x in (batch.clean, batch.degraded, batch.mask, batch.exposure, batch.family)
        )
        twice = [x.repeat_interleave(2, 0) for x in (degraded, mask, whole)]
        noise = trainer.randn(2 * len(mask), *mask.shape[1:])
        with autocast(trainer.device):
            samples = self.network(family.repeat_interleave(2), Generator.forward, *twice, noise)
        samples = samples.float()
        first, second = samples[::2], samples[1::2]
        log = self._discriminator_step(clean, first.detach(), degraded, mask, trainer)

        self.discriminator.requires_grad_(False)
        with autocast(trainer.device):
            judged = self.discriminator(samples, *twice[:2])
        adversarial = F.softplus(-judged.float()).mean()
        spread = variance(first, second)
        error = error_of_mean(first, second, clean) + self.spread_weight * spread
        ramp = min(1.0, self.adversarial_steps / 300)
        loss = (
            0.5 * (error.clamp(min=0) + FLOOR).log().mean()
            + ramp * self.adversarial_weight * adversarial
        )
        norm = trainer.update(loss, self.network, self.optimizer)
        self.discriminator.requires_grad_(True)
        self.adversarial_steps += 1
        return log | {
            "g_loss": loss.detach(),
            "g_adversarial": adversarial.detach(),
            "log_mse": log_mse(first.detach(), clean).mean(),
            "log_mse_of_mean": log_mse((0.5 * (first + second)).detach(), clean).mean(),
            "spread": spread.detach().mean().sqrt(),
            "gradient": norm,
        }

    def _discriminator_step(
        self, real: Tensor, fake: Tensor, degraded: Tensor, mask: Tensor, trainer: Trainer
    ) -> dict[str, Tensor]:
        penalise = self.adversarial_steps % self.penalty_every == 0
        real = real.detach().requires_grad_(penalise)
        with autocast(trainer.device):
            on_real = self.discriminator(real, degraded, mask).float()
            on_fake = self.discriminator(fake, degraded, mask).float()
        loss = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        penalty = loss.new_zeros(())
        if penalise:
            # R1: the squared slope of the logits at real photos, per patch.
            (slope,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
            penalty = slope.square().sum((1, 2, 3)).mean() / on_real[0].numel()
        total = loss + self.penalty_weight * self.penalty_every * penalty
        trainer.update(total, self.discriminator, self.discriminator_optimizer)
        log = {
            "d_loss": loss.detach(),
            "d_real": on_real.detach().sigmoid().mean(),
            "d_fake": on_fake.detach().sigmoid().mean(),
        }
        return log | ({"d_penalty": penalty.detach()} if penalise else {})

    def restore(
        self,
        network: nn.Module,
        families: Tensor,
        degraded: Tensor,
        mask: Tensor,
        exposure: Tensor,
    ) -> Tensor:
        """Restore with fixed noise, tempered as exported, or without noise in the first phase."""
        noise = torch.zeros_like(mask)
        if self.faithful is not None:
            network = self.tempered(network)
            noise = torch.randn(mask.shape, generator=randomness(0)).to(mask)
        return network(families, Generator.forward, degraded, mask, exposure, noise)

    def export(self, network: nn.Module, folder: Path) -> None:
        """Write both generators and the discriminator."""
        if self.faithful is not None:
            network = self.tempered(network)
        save_network(network, folder)
        save_network(self.faithful or network, folder / "faithful")
        save_network(self.discriminator, folder / "discriminator")

    @torch.no_grad()
    def tempered(self, network: Experts) -> Experts:
        """Return an adversarial generator with part of its way undone, as `TEMPERS` says."""
        network = deepcopy(network)
        for name, (way, noise) in TEMPERS.items():
            family = list(FAMILIES).index(name)
            faithful, adversarial = self.faithful.own(family), network.own(family)
            torch._foreach_copy_(adversarial, torch._foreach_lerp(faithful, adversarial, way))
            for posterior in network.ladders[family].posteriors[1:]:
                posterior.bias.chunk(2)[1].add_(2 * math.log(noise))
        return network

    def state(self) -> dict:
        """Everything needed to resume, the discriminator and the first phase's end included."""
        return super().state() | {
            "discriminator": self.discriminator.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "faithful": self.faithful and self.faithful.state_dict(),
            "adversarial_steps": self.adversarial_steps,
        }

    def restore_state(self, state: dict) -> None:
        """Continue where `state` was taken."""
        super().restore_state(state)
        self.discriminator.load_state_dict(state["discriminator"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
        for group in self.discriminator_optimizer.param_groups:
            group["lr"] = self.discriminator_rate
        if state["faithful"] is not None:
            self.faithful = deepcopy(self.network).eval().requires_grad_(False)
            self.faithful.load_state_dict(state["faithful"])
        self.adversarial_steps = state["adversarial_steps"]

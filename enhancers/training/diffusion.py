"""Training of the diffusion model: predict the clean photo at every level of noise."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from enhancers.base import autocast
from enhancers.diffusion import (
    RestorationDiffusion,
    RestorationUNet,
    make_scheduler,
    trust_in_state,
)
from enhancers.experts import Experts
from enhancers.ladder import Ladder, LadderConfig
from enhancers.training.data import Batch
from enhancers.training.losses import log_mse
from enhancers.training.recipe import Recipe, Trainer, adam
from enhancers.weights import save_network, save_unet


class DiffusionRecipe(Recipe):
    """Regression of the clean photo: by the ladders of the mean, and by the UNet at random steps.

    Each has its own loss. The UNet takes the ladders' estimate as given, so that what it learns
    of noisy states, where the estimate matters little, does not pull at the estimate.
    """

    mean_share = 0.1
    """Share of the run in which the UNet sees pure noise alone."""
    pure_noise = 0.1
    """Share of samples that stay at the last step, the posterior mean, after that."""

    trains_mean = trains_unet = True

    def __init__(self, config: LadderConfig | None = None, unet: RestorationUNet | None = None):
        self.network = RestorationDiffusion(config or LadderConfig(), unet or RestorationUNet())
        self.optimizer = adam(self.network, self.learning_rate)
        self.scheduler = make_scheduler()

    @property
    def experts(self) -> Experts:
        """The ladders of the posterior mean."""
        return self.network.mean

    def begin_as(self, folder: Path) -> None:
        """Begin with the ladders of a trained VAE, or as a trained diffusion model."""
        super().begin_as(folder)
        if (folder / "unet").is_dir():
            unet = RestorationUNet.from_pretrained(folder / "unet", torch_dtype=torch.float32)
            self.network.unet.load_state_dict(unet.state_dict())
            self.mean_share = 0.0

    def train_only(self, part: str) -> None:
        """Hold everything but one expert, the ladders (`ladders`), or the UNet (`unet`)."""
        self.trains_mean, self.trains_unet = part != "unet", part == "unet"
        if part == "ladders":
            self.network.unet.requires_grad_(False)
        elif part == "unet":
            self.network.mean.requires_grad_(False)
        else:
            super().train_only(part)

    def step(self, batch: Batch, progress: float, trainer: Trainer) -> dict[str, Tensor]:
        """Descend the error of the estimate, and of one random step per photo."""
        with autocast(trainer.device):
            estimate = self.network.mean(
                batch.family, Ladder.means, batch.degraded, batch.mask, batch.exposure
            )
        estimate, floor = estimate.float(), self.floor(progress)
        log = {"log_mse_estimate": log_mse(estimate.detach(), batch.clean).mean()}
        losses = []
        if self.trains_mean:
            losses.append(log_mse(estimate, batch.clean, floor).mean())
        if self.trains_unet:
            pure_noise = 1 if progress < self.mean_share else self.pure_noise
            denoised, timestep = self._denoised(batch, estimate.detach(), pure_noise, trainer)
            # The less there is left to correct, the lower the floor: the error of almost clean
            # states would otherwise be below it from the start, and their noise would stay.
            alpha_bar = self.scheduler.alphas_cumprod.to(denoised)[timestep]
            left = 1 - trust_in_state(alpha_bar)
            losses.append(log_mse(denoised, batch.clean, floor * left).mean())
            pure = alpha_bar == 0
            error = log_mse(denoised.detach(), batch.clean)
            if pure.any():
                log["log_mse_first_step"] = error[pure].mean()
            if not pure.all():
                log["log_mse_later_steps"] = error[~pure].mean()
        loss = sum(losses)
        norm = trainer.update(loss, self.network, self.optimizer)
        return {"loss": loss.detach(), "gradient": norm, **log}

    def _denoised(
        self, batch: Batch, estimate: Tensor, pure_noise: float, trainer: Trainer
    ) -> tuple[Tensor, Tensor]:
        """Predict the clean photos from random steps, and say which these were, (N,)."""
        n = len(estimate)
        last = self.scheduler.config.num_train_timesteps - 1
        draws = torch.rand(2, n, generator=trainer.generator, device=trainer.device)
        pure = draws[0] < pure_noise
        timestep = torch.where(pure, last, (draws[1] * last).long())
        noise = trainer.randn(*estimate.shape)
        state = self.scheduler.add_noise(2 * batch.clean - 1, noise, timestep)
        with autocast(trainer.device):
            denoised = self._predict(
                self.network, state, timestep, estimate, batch.degraded, batch.mask
            )
        return denoised.float(), timestep

    def restore(
        self,
        network: nn.Module,
        families: Tensor,
        degraded: Tensor,
        mask: Tensor,
        exposure: Tensor,
    ) -> Tensor:
        """Restore in one step: the posterior mean."""
        last = self.scheduler.config.num_train_timesteps - 1
        timestep = torch.full((len(degraded),), last, device=degraded.device)
        state = torch.zeros_like(degraded)
        estimate = network.mean(families, Ladder.means, degraded, mask, exposure)
        return self._predict(network, state, timestep, estimate, degraded, mask)

    def _predict(
        self,
        network: RestorationDiffusion,
        state: Tensor,
        timestep: Tensor,
        estimate: Tensor,
        degraded: Tensor,
        mask: Tensor,
    ) -> Tensor:
        alpha_bar = self.scheduler.alphas_cumprod.to(state)[timestep]
        estimate = estimate.float().clamp(0, 1)
        return network.unet.predict(state, timestep, alpha_bar, estimate, degraded, mask)

    def export(self, network: nn.Module, folder: Path) -> None:
        """Write the ladder, and the UNet and the scheduler in diffusers' layout."""
        save_network(network.mean, folder / "mean")
        save_unet(network.unet, self.scheduler, folder)

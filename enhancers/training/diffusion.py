"""Training of the diffusion model: predict the clean photo at every level of noise."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from enhancers.base import autocast
from enhancers.diffusion import RestorationDiffusion, RestorationUNet, make_scheduler
from enhancers.ladder import Ladder, LadderConfig
from enhancers.training.data import Batch
from enhancers.training.losses import log_mse
from enhancers.training.recipe import Recipe, Trainer, adam
from enhancers.weights import save_network, save_unet


class DiffusionRecipe(Recipe):
    """Regression of the clean photo: first from pure noise alone, then at other steps too."""

    mean_share = 0.3
    """Share of the run spent on the posterior mean alone."""
    pure_noise = 0.75
    """Share of samples that stay at the last step, the posterior mean, after that."""

    def __init__(self, config: LadderConfig | None = None, unet: RestorationUNet | None = None):
        self.network = RestorationDiffusion(config or LadderConfig(), unet or RestorationUNet())
        self.optimizer = adam(self.network, self.learning_rate)
        self.scheduler = make_scheduler()

    @property
    def ladder(self) -> Ladder:
        """The ladder of the posterior mean."""
        return self.network.mean

    def step(self, batch: Batch, progress: float, trainer: Trainer) -> dict[str, Tensor]:
        """Descend the error of one random step per photo."""
        n = len(batch.clean)
        last = self.scheduler.config.num_train_timesteps - 1
        draws = torch.rand(2, n, generator=trainer.generator, device=trainer.device)
        pure = draws[0] < (1 if progress < self.mean_share else self.pure_noise)
        timestep = torch.where(pure, last, (draws[1] * last).long())
        noise = trainer.randn(*batch.clean.shape)
        state = self.scheduler.add_noise(2 * batch.clean - 1, noise, timestep)
        with autocast(trainer.device):
            denoised = self._predict(
                self.network, state, timestep, batch.degraded, batch.mask, batch.exposure
            )
        denoised = denoised.float()
        loss = log_mse(denoised, batch.clean, self.floor(progress)).mean()
        norm = trainer.update(loss, self.network, self.optimizer)
        error = log_mse(denoised.detach(), batch.clean)
        log = {"loss": loss.detach(), "gradient": norm}
        if pure.any():
            log["log_mse_first_step"] = error[pure].mean()
        if not pure.all():
            log["log_mse_later_steps"] = error[~pure].mean()
        return log

    def restore(
        self, network: nn.Module, degraded: Tensor, mask: Tensor, exposure: Tensor
    ) -> Tensor:
        """Restore in one step: the posterior mean."""
        last = self.scheduler.config.num_train_timesteps - 1
        timestep = torch.full((len(degraded),), last, device=degraded.device)
        state = torch.zeros_like(degraded)
        return self._predict(network, state, timestep, degraded, mask, exposure)

    def _predict(
        self, network: RestorationDiffusion, state: Tensor, timestep: Tensor, *given: Tensor
    ):
        alpha_bar = self.scheduler.alphas_cumprod.to(state)[timestep]
        return network(state, timestep, alpha_bar, *given)

    def export(self, network: nn.Module, folder: Path) -> None:
        """Write the ladder, and the UNet and the scheduler in diffusers' layout."""
        save_network(network.mean, folder / "mean")
        save_unet(network.unet, self.scheduler, folder)

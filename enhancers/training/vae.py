"""Training of the VAE: reconstruction of the clean photo and KL to the ladder of priors."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from enhancers.base import autocast
from enhancers.experts import Experts
from enhancers.ladder import LadderConfig
from enhancers.training.data import Batch
from enhancers.training.losses import log_mse
from enhancers.training.recipe import Recipe, Trainer, adam
from enhancers.vae import VAE
from enhancers.weights import save_network


class VAERecipe(Recipe):
    """Negative ELBO per pixel value, with a decoder whose variance is its own mean error.

    With the optimal variance the Gaussian log-likelihood of D values is D/2 log(MSE) (Rybkin et
    al. 2021, sigma-VAE). `beta` is far below 1: one value coded twice as finely costs log 2 nats
    and at best gains as much likelihood, so at 1 fine detail never pays for its code.
    """

    beta = 0.02
    kl_warmup = 0.3
    """Share of the run over which beta rises from 0."""

    def __init__(self, config: LadderConfig | None = None):
        self.network = Experts(VAE, config or LadderConfig())
        self.optimizer = adam(self.network, self.learning_rate)

    def step(self, batch: Batch, progress: float, trainer: Trainer) -> dict[str, Tensor]:
        """Descend the negative ELBO once."""
        shapes = self.network.ladders[0].latent_shapes(len(batch.clean), *batch.clean.shape[2:])
        noise = [trainer.randn(*shape) for shape in shapes]
        with autocast(trainer.device):
            restored, *nats = self.network(
                batch.family, _code, batch.degraded, batch.mask, batch.exposure, *noise
            )
        restored = restored.float()
        beta = self.beta * (1.0 if self.warm else min(1.0, progress / self.kl_warmup))
        values = batch.clean[0].numel()
        likelihood = 0.5 * log_mse(restored, batch.clean, self.floor(progress))
        loss = (likelihood + beta * sum(nats) / values).mean()
        norm = trainer.update(loss, self.network, self.optimizer)
        pixels = batch.clean[0, 0].numel()
        return {
            "loss": loss.detach(),
            "log_mse": log_mse(restored.detach(), batch.clean).mean(),
            "beta": loss.new_tensor(beta),
            "gradient": norm,
            **{
                f"kl_{name}_nats_per_pixel": n.detach().mean() / pixels
                for name, n in zip(("f8", "f4", "f2"), nats, strict=True)
            },
        }

    def restore(self, network: nn.Module, families: Tensor, *given: Tensor) -> Tensor:
        """Decode the posterior means."""
        return network(families, VAE.means, *given)

    def export(self, network: nn.Module, folder: Path) -> None:
        """Write configuration and weights."""
        save_network(network, folder)


def _code(
    vae: VAE, degraded: Tensor, mask: Tensor, exposure: Tensor, *noise: Tensor
) -> tuple[Tensor, ...]:
    """Return the restored photos, and each level's KL in nats, (N,)."""
    restored, levels = vae(degraded, mask, exposure, list(noise))
    return restored, *(level.kl().float().sum((1, 2, 3)) for level in levels)

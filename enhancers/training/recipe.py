"""What the loop asks of a model: its networks, its step, how it restores and what it exports."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from enhancers.experts import FAMILIES, Experts, load_experts
from enhancers.ladder import Ladder
from enhancers.training.data import Batch
from enhancers.training.losses import annealed_floor
from enhancers.vae import VAE


class Recipe(ABC):
    """One model's training; `step` is called once per batch, `progress` runs from 0 to 1."""

    batch_size = 16
    crop = 64
    late_crop = 96
    """Side of the crops in the last fifth of the run, at an equal number of pixels."""
    learning_rate = 1e-3
    warmup = 200
    """Steps over which the learning rate rises at the start."""
    ema_decay = 0.999

    warm = False
    """Whether the network began as a trained one."""

    network: nn.Module
    """What is averaged, validated and saved."""
    optimizer: torch.optim.Optimizer

    @abstractmethod
    def step(self, batch: Batch, progress: float, trainer: Trainer) -> dict[str, Tensor]:
        """Update the networks by one batch; returns what to log, detached."""

    @abstractmethod
    def restore(
        self,
        network: nn.Module,
        families: Tensor,
        degraded: Tensor,
        mask: Tensor,
        exposure: Tensor,
    ) -> Tensor:
        """Restore validation photos as the enhancer would, with the averaged network."""

    @abstractmethod
    def export(self, network: nn.Module, folder: Path) -> None:
        """Write the averaged network as the enhancer loads it."""

    @property
    def experts(self) -> Experts:
        """The ladders in the network."""
        return self.network

    def begin_as(self, folder: Path) -> None:
        """Begin with the ladders of a trained VAE or diffusion model, at half the learning rate.

        What those lack, as the mean's ladders do the VAE's priors, stays as it is.
        """
        mean = folder / "mean"
        trained = load_experts(Ladder, mean) if mean.is_dir() else load_experts(VAE, folder)
        state = self.experts.state_dict()
        state |= {key: value for key, value in trained.state_dict().items() if key in state}
        self.experts.load_state_dict(state)
        self.warm, self.learning_rate = True, self.learning_rate / 2

    def train_only(self, part: str) -> None:
        """Hold everything but one family's expert, and of that what others share.

        Raises ValueError for any other part.
        """
        if part not in FAMILIES:
            raise ValueError(f"Expected one of {', '.join(FAMILIES)} to train, but got {part}.")
        self.network.requires_grad_(False)
        for weights in self.experts.own(list(FAMILIES).index(part)):
            weights.requires_grad_(True)

    def floor(self, progress: float) -> float:
        """Floor of the log MSE: annealed, unless the network began as a trained one."""
        return annealed_floor(1.0 if self.warm else progress)

    def rate(self, step: int, progress: float) -> float:
        """Learning rate: linear warm-up, then half a cosine down to a hundredth."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return self.learning_rate * min(1.0, (step + 1) / self.warmup) * max(0.01, cosine)

    def state(self) -> dict:
        """Everything the recipe needs to resume."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore_state(self, state: dict) -> None:
        """Continue where `state` was taken."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


class Trainer(ABC):
    """What a step may use of the loop."""

    device: torch.device
    generator: Generator
    """Random numbers of the step, on `device`; part of the checkpoint."""
    average: nn.Module
    """The moving average of the recipe's network."""

    @abstractmethod
    def update(self, loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
        """Descend: backward, average over processes, clip, step. Returns the gradient's norm."""

    def randn(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self.generator, device=self.device)


def adam(network: nn.Module, rate: float, betas: tuple[float, float] = (0.9, 0.95)):
    """AdamW without weight decay: the networks are far too small to overfit here."""
    return torch.optim.AdamW(network.parameters(), rate, betas, weight_decay=0.0)

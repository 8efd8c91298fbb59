"""The diffusion model: a diffusers UNet2DModel and scheduler, conditioned on the photo.

A ladder first estimates the mean of all plausible photos; beside it, the UNet predicts the clean
photo from the noisy state. At the first step the state is pure noise and says nothing, so the
prediction is that mean, refined, the best in PSNR; further steps of SDE-DPM-Solver++ (Lu et al.
2022) walk to one of the plausible photos. The fresh noise of every step corrects what the steps
before got wrong; without it, smooth surfaces keep grain of the first noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from enhancers._torchvision import ensure_importable

ensure_importable()

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, UNet2DModel  # noqa: E402
from diffusers.configuration_utils import register_to_config  # noqa: E402
from diffusers.models.resnet import ResnetBlock2D  # noqa: E402

from enhancers.base import Enhancer, OnStep, autocast, tiled  # noqa: E402
from enhancers.experts import Experts, load_experts  # noqa: E402
from enhancers.ladder import DETAIL_SCALE, Ladder, LadderConfig, detail  # noqa: E402
from enhancers.layers import exposure, kaiming  # noqa: E402
from enhancers.weights import read_spec  # noqa: E402

SIGMA_MIN, SIGMA_MAX = 0.01, 1.0
"""Noise-to-signal ratio of the first and the last but one training step, photos in [-1, 1]."""

SIGMA_TRUST = 0.1
"""Ratio at which the noisy state is as good a guess of the clean photo as the degraded one."""

STEP_SCALE = 0.1
"""Photos differ from their estimate by about this much: the size of the UNet's output."""

STRIP = 256
"""Rows of a photo that one solver walks with."""

WEIGHTS = ("mean/model.safetensors", "unet/diffusion_pytorch_model.safetensors")


class NormFreeBlock(ResnetBlock2D):
    """diffusers' residual block, its norms left out, with as few passes over memory as it needs."""

    sole_reader = False
    """Whether nothing else reads the features that come in, so that they may be overwritten."""

    def forward(self, input_tensor: Tensor, temb: Tensor) -> Tensor:
        """Refine features (N, C, H, W) at the time of the embedding (N, E): (N, C', H, W)."""
        shortcut = self.conv_shortcut(input_tensor) if self.conv_shortcut else input_tensor
        overwrite = self.sole_reader and not torch.is_grad_enabled()
        hidden = self.conv1(F.relu(input_tensor, inplace=overwrite))
        hidden.add_(self.time_emb_proj(F.relu(temb))[..., None, None])
        return self.conv2(hidden.relu_()).add_(shortcut)


class RestorationUNet(UNet2DModel):
    """UNet2DModel without normalisation, on pixel-unshuffled photos; sides divisible by 8.

    Group norms would hide the strength of the degradation (they are replaced by identities), and
    the blocks start close to the identity, each second convolution scaled by 0.1.
    """

    multiple = 8

    @register_to_config
    def __init__(
        self,
        block_out_channels: tuple[int, ...] = (32, 32, 48),
        layers_per_block: int = 1,
        norm_num_groups: int = 8,
    ):
        super().__init__(
            in_channels=4 * 13,
            out_channels=12,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            norm_num_groups=norm_num_groups,
            down_block_types=("DownBlock2D",) * len(block_out_channels),
            up_block_types=("UpBlock2D",) * len(block_out_channels),
            act_fn="relu",
            add_attention=False,
        )
        for module in self.modules():
            if isinstance(module, ResnetBlock2D):
                module.__class__ = NormFreeBlock
                module.norm1 = module.norm2 = nn.Identity()
        for block in self.up_blocks:
            for resnet in block.resnets:  # what they read was put together for them
                resnet.sole_reader = resnet.conv_shortcut is not None
        self.conv_norm_out = self.conv_act = nn.Identity()
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                kaiming(module, _gain(name))

    def predict(
        self,
        state: Tensor,
        timestep: Tensor,
        alpha_bar: Tensor,
        estimate: Tensor,
        degraded: Tensor,
        mask: Tensor,
    ) -> Tensor:
        """Predict the clean photo, (N, 3, H, W) in about [0, 1].

        state: noisy photo x_t, (N, 3, H, W), on the scheduler's scale ([-1, 1] plus noise).
        timestep, alpha_bar: (N,). estimate: of the posterior mean, (N, 3, H, W) in [0, 1].
        degraded: (N, 3, H, W) in [0, 1]. mask: (N, 1, H, W), 1 where a pixel is unknown.
        """
        alpha_bar = alpha_bar.view(-1, 1, 1, 1)
        trust = trust_in_state(alpha_bar)
        view = 0.5 * state / alpha_bar.sqrt().clamp(min=1e-4) + 0.5
        news = trust.sqrt() * (view - estimate)  # of about the same size at every noise level
        removed = (degraded - estimate) * (1 - mask)
        small = DETAIL_SCALE * torch.cat([news, removed, detail(estimate)], 1)
        x = F.pixel_unshuffle(torch.cat([2 * estimate - 1, small, mask], 1), 2)
        head = F.pixel_shuffle(self(x, timestep).sample.to(state.dtype), 2)
        # The less is left to correct, the smaller the correction (cf. c_out, Karras et al. 2022);
        # otherwise the almost clean states would forbid the network any correction at all.
        scale = STEP_SCALE * (1 - trust).sqrt()
        return torch.lerp(estimate, view.clamp(0, 1), trust) + scale * head


class RestorationDiffusion(nn.Module):
    """The ladders and the UNet, as they are trained side by side."""

    def __init__(self, config: LadderConfig, unet: RestorationUNet):
        super().__init__()
        self.mean = Experts(Ladder, config)
        self.unet = unet


def trust_in_state(alpha_bar: Tensor) -> Tensor:
    """Weight of the noisy state beside the estimate, of two views of one clean photo.

    By their inverse variances; at pure noise it is zero, and the estimate remains.
    """
    return SIGMA_TRUST**2 * alpha_bar / (1 - alpha_bar + SIGMA_TRUST**2 * alpha_bar)


def _gain(name: str) -> float:
    """Scale of a layer's first weights: near-identity blocks and output, linear layers in between.

    Without norms nothing else keeps the features from growing from layer to layer.
    """
    if name == "conv_out" or name.endswith(("conv2", "time_emb_proj")):
        return 0.1
    linear = name.endswith("conv_shortcut") or "samplers" in name
    return 0.7 if linear else 1.0


def make_scheduler(timesteps: int = 1000) -> DDIMScheduler:
    """Return the scheduler of training, of geometric noise-to-signal ratios, infinity the last.

    Beside a degraded photo, noise far above the degradation's own says nothing and noise far
    below it nothing new; equal ratios per step spread the steps over the range between. The last
    training step has no signal at all, and sampling starts there (Lin et al. 2024).
    """
    sigma = torch.logspace(
        math.log10(SIGMA_MIN), math.log10(SIGMA_MAX), timesteps - 1, dtype=torch.float64
    )
    alpha_bar = torch.cat([1 / (1 + sigma**2), torch.zeros(1, dtype=torch.float64)])
    before = torch.cat([torch.ones(1, dtype=torch.float64), alpha_bar[:-1]])
    return DDIMScheduler(
        num_train_timesteps=timesteps,
        trained_betas=(1 - alpha_bar / before).tolist(),
        prediction_type="sample",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        clip_sample=True,
        set_alpha_to_one=True,
    )


def make_solver(
    config: Mapping, steps: int, algorithm: str = "sde-dpmsolver++"
) -> DPMSolverMultistepScheduler:
    """Return the scheduler that samples, of second order, by the config of the one that trained.

    It remembers its last step, so every photo, or part of one, needs its own.
    """
    solver = DPMSolverMultistepScheduler.from_config(
        config, algorithm_type=algorithm, solver_order=2, final_sigmas_type="zero"
    )
    solver.set_timesteps(steps)
    return solver


class DiffusionEnhancer(Enhancer):
    """Restores in a chosen number of steps, each of them tiled where the photo is large."""

    def __init__(self, folder: Path, device: torch.device):
        self.spec = read_spec(folder, "diffusion", *WEIGHTS)
        self.device = device
        self.mean = load_experts(Ladder, folder / "mean").to(device)
        unet = RestorationUNet.from_pretrained(folder / "unet", torch_dtype=torch.float32)
        self.unet = unet.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
        scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
        self.scheduler_config, self.alpha_bars = scheduler.config, scheduler.alphas_cumprod

    def _restore(
        self,
        degraded: Tensor,
        mask: Tensor,
        generator: torch.Generator,
        on_step: OnStep,
        steps: int,
    ) -> Tensor:
        estimate = self.estimate(degraded, mask, on_step, steps + 1)
        state = torch.randn(degraded.shape, generator=generator).to(degraded)
        # In strips: a solver holds several copies of what it is given.
        solvers = [make_solver(self.scheduler_config, steps) for _ in state.split(STRIP, 2)]
        for i, timestep in enumerate(solvers[0].timesteps):
            alpha_bar = self.alpha_bars[timestep].to(state)
            times = timestep.expand(len(state)).to(self.device)

            def network(state: Tensor, *given: Tensor, times=times, alpha_bar=alpha_bar) -> Tensor:
                with autocast(self.device):
                    restored = self.unet.predict(state, times, alpha_bar.expand(len(state)), *given)
                return restored.float()

            denoised = tiled(
                network,
                state,
                estimate,
                degraded,
                mask,
                multiple=RestorationUNet.multiple,
                on_step=on_step,
                part=i + 1,
                parts=steps + 1,
            )
            if i + 1 < steps:
                noise = torch.randn(state.shape, generator=generator).to(state)
                strips = (x.split(STRIP, 2) for x in (state, denoised.clamp_(0, 1), noise))
                for solver, now, clean, fresh in zip(solvers, *strips, strict=True):
                    step = solver.step(2 * clean - 1, timestep, now, variance_noise=fresh)
                    now.copy_(step.prev_sample)
        return denoised

    @torch.inference_mode()
    def estimate(
        self,
        degraded: Tensor,
        mask: Tensor,
        on_step: OnStep = lambda i, n, preview: None,
        parts: int = 1,
    ) -> Tensor:
        """Estimate the posterior mean, (N, 3, H, W) in [0, 1], as the first of `parts` passes.

        degraded and mask as `_restore` gets them: on the device, filled where nothing is known.
        """
        whole = exposure(degraded, mask)
        families = self.mean.families(degraded, mask, whole)

        def network(degraded: Tensor, mask: Tensor) -> Tensor:
            with autocast(self.device):
                estimate = self.mean(families, Ladder.means, degraded, mask, whole)
            return estimate.float()

        multiple = Ladder.multiple
        return tiled(network, degraded, mask, multiple=multiple, on_step=on_step, parts=parts)

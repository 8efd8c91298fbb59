"""The training loop: batches, steps, averaging, validation, checkpoints, one log line at a time.

The same command resumes: the checkpoint holds networks, optimiser, averages, elapsed time and
random states. Under `accelerate launch` every process draws its own batches and the gradients
are averaged.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Generator, Tensor, nn

from enhancers import degradations as deg
from enhancers.base import autocast
from enhancers.experts import FAMILIES, Experts
from enhancers.images import quantise
from enhancers.layers import exposure, filled
from enhancers.training.data import FAMILY, SHARES, Mixture, read_photos, shares_of
from enhancers.training.first import fit_lift, fit_router
from enhancers.training.recipe import Recipe, Trainer
from enhancers.weights import write_training


@dataclass(frozen=True)
class Settings:
    """One run; `minutes` or `steps` is its length, wall-clock time or batches."""

    model: str
    data: Path
    val: Path
    out: Path
    minutes: float | None = None
    steps: int | None = None
    device: str = "cpu"
    seed: int = 0
    validate_minutes: float = 5.0
    checkpoint_minutes: float = 2.0
    val_photos: int = 8
    val_size: int = 192
    batch: int | None = None
    """Crops in a batch, until the late ones; None: `Recipe.batch_size`."""
    crop: int | None = None
    """Side of all crops in pixels; None: as `Recipe.crop` and `Recipe.late_crop` say."""
    clip_norm: float = 1.0
    lift_steps: int = 2500
    router_steps: int = 1500
    start: Path | None = None
    """Folder of a trained VAE, or diffusion model, to begin as; None: begin at random."""
    only: str | None = None
    """The one part to train: a family of damage, for its expert, or of diffusion all `ladders` or
    the `unet`; None: everything."""
    damage: str | None = None
    """The one kind of damage to train for and to validate; None: all, as in `data.SHARES`."""


def tell(line: str) -> None:
    """Print a line at once, whoever reads it."""
    print(line, flush=True)


class Loop(Trainer):
    """One run from its checkpoint, if there is one, to its end.

    say: is told how far the run is, a line at a time.
    """

    def __init__(self, recipe: Recipe, settings: Settings, say: Callable[[str], None] = tell):
        if (settings.minutes is None) == (settings.steps is None):
            raise ValueError("Expected either minutes or steps as the length of the run.")
        self.recipe, self.settings, self.say = recipe, settings, say
        if settings.batch is not None:
            recipe.batch_size = settings.batch
        if settings.crop is not None:
            recipe.crop = recipe.late_crop = settings.crop
        self.accelerator = Accelerator(cpu=settings.device == "cpu")
        self.device = self.accelerator.device
        rank = self.accelerator.process_index
        self.main = self.accelerator.is_main_process
        for module in recipe_modules(recipe):
            module.to(self.device, memory_format=torch.channels_last)
        photos, skipped = read_photos(settings.data, self.device)
        if settings.only is not None and settings.start is None:
            raise ValueError("One part is trained beside trained ones: expected a start as well.")
        shares, family = SHARES if settings.damage is None else {settings.damage: 1.0}, None
        if settings.only in FAMILIES:
            shares, family = shares_of(settings.only), list(FAMILIES).index(settings.only)
        self.mixture = Mixture(photos, settings.seed + 1000 * rank, shares, family)
        self.generator = Generator(self.device).manual_seed(settings.seed + 1000 * rank + 1)
        self.stopping = False
        self.step = 0
        self.samples = 0
        self.elapsed = 0.0  # seconds, over all resumed parts
        settings.out.mkdir(parents=True, exist_ok=True)
        self.checkpoint = settings.out / f"state-{rank}.pt"
        resume = self.checkpoint.exists()
        if settings.start is not None:
            recipe.begin_as(settings.start)
        elif not resume:
            # Every process fits the same, whatever batches it draws later.
            mixture = Mixture(photos, settings.seed, shares)
            error = fit_lift(recipe.experts.lift, mixture, settings.lift_steps)
            self._say(f"tone curve fitted to a mean error of {255 * error:.2f} of 255")
            right = fit_router(recipe.experts.router, mixture, settings.router_steps)
            self._say(f"router tells the family of damage of {right:.0%} of the crops")
        if settings.only is not None:
            recipe.train_only(settings.only)
        recipe.experts.lift.requires_grad_(False)
        recipe.experts.router.requires_grad_(False)
        self.average = deepcopy(recipe.network).eval().requires_grad_(False)
        if resume:
            self._load()
            self._say(f"resumed at step {self.step}, minute {self.elapsed / 60:.1f}")
        elif self.main:
            (settings.out / "settings.json").write_text(json.dumps(self._resolved(), indent=2))
        self.val = validation_set(settings, recipe.experts, self.device)
        for line in skipped:
            self._say(f"skipped: {line}")
        self._say(f"{len(photos)} photos, {count(recipe.network):,} weights, on {self.device}")

    @property
    def progress(self) -> float:
        """Share of the run that is done, equal in every process."""
        if self.settings.steps is not None:
            return self.step / self.settings.steps
        share = torch.tensor(self.elapsed / (60 * self.settings.minutes), device=self.device)
        return float(broadcast(share))

    def stop(self, *_: object) -> None:
        """Ask the run to save itself and end after the step it is in; serves as signal handler."""
        self.stopping = True

    def run(self) -> dict[str, float] | None:
        """Train to the end; returns the last validation, PSNR in dB per degradation.

        Asked to stop, it leaves a checkpoint and returns None. Either way the group of processes,
        if there is one, is ended.
        """
        scores = None
        for _ in self.steps():
            pass
        if self.progress >= 1:
            self._save()
            scores = self.validate()
            if self.main:
                self.recipe.export(self.average, self.settings.out / "export")
                write_training(self.settings.out / "export", self._summary(scores))
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()
        return scores

    def steps(self) -> Iterator[dict[str, Tensor]]:
        """Train step by step; yields what each has to log, as `Recipe.step` returns it.

        The time until the next is asked for does not count. Asked to stop, it leaves a checkpoint.
        """
        recipe, settings = self.recipe, self.settings
        logged: dict[str, list[Tensor]] = {}
        last_log = last_check = last_validation = began = time.monotonic()
        before, samples = self.elapsed, self.samples
        while (progress := self.progress) < 1:
            if self.stopping:
                self._save()
                self._say(f"stopped at step {self.step}; the same command goes on from here")
                return
            late = progress > 0.8
            crop = recipe.late_crop if late else recipe.crop
            n = max(1, round(recipe.batch_size * (recipe.crop / crop) ** 2))
            batch = self.mixture.batch(n, crop)
            for group in recipe.optimizer.param_groups:
                group["lr"] = recipe.rate(self.step, progress)
            values = recipe.step(batch, progress, self)
            for name, value in values.items():
                logged.setdefault(name, []).append(value)
            self.step += 1
            self.samples += n * self.accelerator.num_processes
            decay = min(recipe.ema_decay, (1 + self.step) / (10 + self.step))
            update_average(self.average, recipe.network, decay)

            now = time.monotonic()
            self.elapsed = before + now - began
            if now - last_log > 20:
                rate = (self.samples - samples) / (now - last_log)
                self._log("train", self._means(logged), samples_per_second=round(rate, 1))
                logged, last_log, samples = {}, now, self.samples
            if now - last_validation > 60 * settings.validate_minutes:
                self.validate()
                last_validation = time.monotonic()
            if now - last_check > 60 * settings.checkpoint_minutes:
                self._save()
                last_check = now
            paused = time.monotonic()
            yield values
            began += time.monotonic() - paused
        if logged:
            self._log("train", self._means(logged))

    def update(self, loss: Tensor, network: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
        """Descend: backward, average over processes, clip, step. Returns the gradient's norm.

        A step whose gradient is not finite is left out, and shows in the log as such.
        """
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        if self.accelerator.num_processes > 1:
            # Another process may have had photos for an expert that had none in this one.
            for p in network.parameters():
                if p.requires_grad and p.grad is None:
                    p.grad = torch.zeros_like(p)
            gradients = [p.grad for p in network.parameters() if p.grad is not None]
            flat = self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean")
            for gradient, part in zip(
                gradients, flat.split([g.numel() for g in gradients]), strict=True
            ):
                gradient.copy_(part.view_as(gradient))
        norm = nn.utils.clip_grad_norm_(network.parameters(), self.settings.clip_norm)
        if torch.isfinite(norm):
            optimizer.step()
        return norm.detach()

    def validate(self) -> dict[str, float]:
        """Restore the validation photos with the averaged network: PSNR in dB per damage."""
        scores = {name: mean_psnr(self.restored(name), self.val[name][0]) for name in self.val}
        self._log("validation", scores)
        return scores

    @torch.inference_mode()
    def restored(self, damage: str) -> Tensor:
        """The validation photos under a damage, restored with the averaged network."""
        _, *inputs = self.val[damage]
        with autocast(self.device):
            return self.recipe.restore(self.average, *inputs).float()

    def _means(self, logged: dict[str, list[Tensor]]) -> dict[str, float]:
        return {name: float(torch.stack(values).mean()) for name, values in logged.items()}

    def _log(self, kind: str, values: dict[str, float], **more: float) -> None:
        if not self.main:
            return
        minutes = self.elapsed / 60
        line = {"kind": kind, "step": self.step, "minutes": round(minutes, 2), **more}
        line |= {name: round(value, 5) for name, value in values.items()}
        with (self.settings.out / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self.settings.steps is not None:
            progress = self.step / self.settings.steps
        else:
            progress = minutes / self.settings.minutes
        left = minutes * (1 - progress) / max(progress, 1e-6)
        shown = " ".join(f"{name} {value:.4g}" for name, value in {**more, **values}.items())
        self._say(f"{kind} step {self.step} {100 * progress:.0f}% {left:.1f} min left | {shown}")

    def _say(self, text: str) -> None:
        if self.main:
            self.say(text)

    def _resolved(self) -> dict:
        """Everything that decides the run, for `settings.json`."""
        recipe = type(self.recipe)
        numbers = {
            name: getattr(self.recipe, name)
            for name in dir(recipe)
            if isinstance(getattr(recipe, name), int | float)
        }
        return {
            "settings": {name: str(value) for name, value in asdict(self.settings).items()},
            "recipe": numbers,
            "ladder": asdict(self.recipe.experts.config),
            "shares": dict(self.mixture.shares),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "processes": self.accelerator.num_processes,
        }

    def _summary(self, scores: dict[str, float]) -> dict:
        return {
            "steps": self.step,
            "minutes": round(self.elapsed / 60, 1),
            "samples": self.samples,
            "device": processor(self.device),
            "processes": self.accelerator.num_processes,
            "validation_psnr_db": {k: round(v, 2) for k, v in scores.items()},
        }

    def _save(self) -> None:
        state = {
            "recipe": self.recipe.state(),
            "average": self.average.state_dict(),
            "mixture": self.mixture.state(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "samples": self.samples,
            "elapsed": self.elapsed,
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)

    def _load(self) -> None:
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        self.recipe.restore_state(state["recipe"])
        self.average.load_state_dict(state["average"])
        self.mixture.restore_state(state["mixture"])
        self.generator.set_state(state["generator"])
        self.step, self.samples = state["step"], state["samples"]
        self.elapsed = state["elapsed"]


def recipe_modules(recipe: Recipe) -> list[nn.Module]:
    """Every network a recipe trains or holds."""
    return [value for value in vars(recipe).values() if isinstance(value, nn.Module)]


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Exponential moving average of the weights, in place."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)


@torch.inference_mode()
def validation_set(
    settings: Settings, experts: Experts, device: torch.device
) -> dict[str, tuple[Tensor, ...]]:
    """Validation photos under every degradation at its middle severity, and undamaged.

    Whole photos are damaged, then cropped at the centre: clean, family of the damage (as the
    router sees it, unless all are of one kind), degraded, mask, exposure.
    """
    photos, _ = read_photos(settings.val, torch.device("cpu"))
    photos = photos[:: max(1, len(photos) // settings.val_photos)][: settings.val_photos]
    pairs = {}
    names = deg.NAMES if settings.damage is None else (settings.damage,)
    for name in ("clean", *names):
        generator = Generator().manual_seed(0)
        parts = []
        for photo in photos:
            clean = photo[None].float() / 255
            degraded, mask = clean, torch.zeros_like(clean[:, :1])
            if name != "clean":
                severity = deg.DEGRADATIONS[name].default
                degraded, mask = deg.degrade(clean, name, severity, generator=generator)
            degraded = filled(degraded, mask)
            whole = [x.to(device) for x in (degraded, mask, exposure(degraded, mask))]
            clean, *crops = (_centre(x, settings.val_size) for x in (clean, degraded, mask))
            if settings.damage is None:
                family = experts.families(*whole).cpu()
            else:
                family = torch.tensor([FAMILY[settings.damage]])
            parts.append([clean, family, *crops, whole[-1].cpu()])
        pairs[name] = tuple(torch.cat(part).to(device) for part in zip(*parts, strict=True))
    return pairs


def _centre(x: Tensor, size: int) -> Tensor:
    """Crop the centre; smaller photos are extended by their border."""
    H, W = x.shape[-2:]
    top, left = max(0, (H - size) // 2), max(0, (W - size) // 2)
    x = x[..., top : top + size, left : left + size]
    h, w = x.shape[-2:]
    return F.pad(x, (0, size - w, 0, size - h), mode="replicate")


def mean_psnr(restored: Tensor, clean: Tensor) -> float:
    """PSNR in dB of 8-bit results, per photo, then averaged; 60 dB stands for identical."""
    error = (quantise(restored) - clean).square().mean((1, 2, 3))
    return float((-10 * torch.log10(error.clamp(min=1e-6))).mean())


def count(network: nn.Module) -> int:
    """Number of trained weights."""
    return sum(p.numel() for p in network.parameters())


def processor(device: torch.device) -> str:
    """Name of what trained."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor()
    return f"{name}, {torch.get_num_threads()} threads"

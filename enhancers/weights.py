"""Weights on disk: `config.json` beside fp16 safetensors, written and read only here."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from enhancers.base import Spec, sha256_of
from enhancers.options import OPTIONS

FOLDER = Path(__file__).parent.parent / "assets" / "weights"
"""Where the shipped weights lie, one folder per enhancer."""

Network = TypeVar("Network", bound=nn.Module)

TITLES = {"vae": "VAE", "gan": "GAN", "diffusion": "Diffusion"}


def save_network(network: nn.Module, folder: Path) -> None:
    """Write a network's configuration and its weights in fp16."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(half(network), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(asdict(network.config), indent=2) + "\n")


def save_unet(unet, scheduler, folder: Path) -> None:
    """Write a diffusers network (in fp16) and scheduler, as `from_pretrained` expects them."""
    copy = nn.Module.to(deepcopy(unet), "cpu", torch.float16)
    copy.to(memory_format=torch.contiguous_format).save_pretrained(folder / "unet")
    # Of the configuration, only what this class takes; the parent's settings follow from it.
    path = folder / "unet" / "config.json"
    own = {"_class_name", "_diffusers_version", *inspect.signature(type(unet)).parameters}
    config = {key: value for key, value in json.loads(path.read_text()).items() if key in own}
    path.write_text(json.dumps(config, indent=2) + "\n")
    scheduler.save_pretrained(folder / "scheduler")


def half(network: nn.Module) -> dict[str, torch.Tensor]:
    """Weights of a network in fp16, contiguous, on the CPU; those shared in it once."""
    return {
        key: value.detach().to("cpu", torch.float16).contiguous()
        for key, value in network.named_parameters()
    }


def load_network(network: Callable[..., Network], config: type, folder: Path) -> Network:
    """Build a network from its configuration and fp16 weights, in float32, ready to infer.

    Raises FileNotFoundError where no weights lie, RuntimeError where they do not fit.
    """
    settings = json.loads((folder / "config.json").read_text())
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    model = network(config(**settings))
    weights = load_file(folder / "model.safetensors")
    own = dict(model.named_parameters())
    if differing := own.keys() ^ weights.keys():
        raise RuntimeError(f"The weights in {folder} are of another network: {min(differing)}.")
    model.load_state_dict(weights, strict=False)  # a shared layer goes by its first name
    return model.float().eval().requires_grad_(False).to(memory_format=torch.channels_last)


def write_training(folder: Path, summary: dict) -> None:
    """Write the summary of a training run beside the weights it made."""
    (folder / "training.json").write_text(json.dumps(summary, indent=2) + "\n")


def read_spec(folder: Path, name: str, *files: str) -> Spec:
    """Describe the enhancer whose weights lie in `folder`, in `files` or `model.safetensors`."""
    paths = [folder / file for file in files or ("model.safetensors",)]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(
                f"Expected weights at {path}, but there are none; "
                f"train them with `python -m enhancers.training {name}`."
            )
    training = folder / "training.json"
    return Spec(
        name=name,
        title=TITLES[name],
        parameters=sum(t.numel() for path in paths for t in load_file(path).values()),
        sha256=sha256_of(*paths),
        training=json.loads(training.read_text()) if training.is_file() else {},
        options=OPTIONS[name],
    )

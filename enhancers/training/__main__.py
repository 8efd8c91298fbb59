"""Train an enhancer: `python -m enhancers.training {vae,gan,diffusion} --data DIR --val DIR`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

import torch

from enhancers.experts import FAMILIES
from enhancers.training.loop import Loop, Settings


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m enhancers.training",
        description="Train one of the enhancers on any folder of photos.",
        epilog="Stopped or killed, the same command goes on from the last checkpoint in --out. "
        "The trained enhancer is written to OUT/export.",
    )
    parser.add_argument("model", choices=["vae", "gan", "diffusion"])
    parser.add_argument("--data", type=Path, required=True, help="folder of training photos")
    parser.add_argument("--val", type=Path, required=True, help="folder of validation photos")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="wall-clock length of the run")
    length.add_argument("--steps", type=int, help="length of the run in batches")
    parser.add_argument(
        "--start",
        type=Path,
        metavar="DIR",
        help="trained VAE or diffusion model to begin as, like assets/weights/vae; a GAN that "
        "does meets its discriminator at once",
    )
    parser.add_argument(
        "--only",
        choices=[*FAMILIES, "ladders", "unet"],
        help="train one part of what --start gives: the expert for a family of damage, or of "
        "diffusion all ladders or the UNet",
    )
    parser.add_argument("--batch", type=int, help="crops in a batch: some hundred suit a large GPU")
    parser.add_argument(
        "--crop",
        type=int,
        help="side of the crops, divisible by 8; unless given, 64 pixels, and 96 in the last fifth",
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="processor threads to use")
    parser.add_argument("--validate-minutes", type=float, default=Settings.validate_minutes)
    arguments = vars(parser.parse_args(argv))
    if (threads := arguments.pop("threads")) is not None:
        torch.set_num_threads(threads)
    settings = Settings(**arguments)
    torch.manual_seed(settings.seed)
    try:
        loop = Loop(make_recipe(settings.model), settings)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    for caught in (signal.SIGINT, signal.SIGTERM):
        signal.signal(caught, loop.stop)
    return 0 if loop.run() is not None else 130


def make_recipe(model: str):
    """Return the recipe that trains `model`."""
    if model == "vae":
        from enhancers.training.vae import VAERecipe

        return VAERecipe()
    if model == "gan":
        from enhancers.training.gan import GANRecipe

        return GANRecipe()
    from enhancers.training.diffusion import DiffusionRecipe

    return DiffusionRecipe()


if __name__ == "__main__":
    sys.exit(main())

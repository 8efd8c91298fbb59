"""Measure all that `assets/leaderboard.csv` holds.

python -m eval leaderboard --sets PHOTOS --workers 2

PHOTOS is a folder with test sets in folders of their names. Those it lacks are downloaded, but for
LIVE1, which has no public home. Stopped, the same command goes on where it was. With new weights
delete the file first: one table must not mix numbers of several.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from eval.benchmark import Request, add_run_options, measure_all
from eval.datasets import SAMPLES
from eval.leaderboard import LEADERBOARD

METRICS = "psnr,ssim,mse,psnr_y,psnr_y_sr,haarpsi,gmsd,niqe,hf_energy"
OTHER_OPTIONS = (
    "gan:realism=0,gan:realism=0.5,"
    "diffusion:steps=2,diffusion:steps=4,diffusion:steps=8,diffusion:steps=12,diffusion:steps=16"
)
MOST = 24
"""Photos of a set where no published table wants all of them."""
FEW = 8
"""Photos for what takes many restorations."""


def requests(sets: Path | None = None) -> list[Request]:
    """Return what is measured, in the order of the file; the README shows the first dataset.

    sets: see the option of that name.
    """

    def of(dataset: str, degradations: str, limit: int | None = None, **settings) -> Request:
        folder = sets and sets / dataset
        spec = str(folder) if folder and folder.is_dir() else dataset
        return Request([spec], degradations, limit=limit, **{"metrics": METRICS, **settings})

    return [
        # Whole sets, as in published tables; noise:25 is what the README shows first.
        of("cbsd68", "noise:25,noise:15,noise:50,noise-float:15,noise-float:25,noise-float:50"),
        of("cbsd68", "blur:1.6,dark:2.2,scratches:10"),
        of("set14", "lowres:2,lowres:4"),
        of("live1", "jpeg:10,jpeg:20,jpeg:30,jpeg:40,jpeg-grey:10,jpeg-grey:20"),
        # Every degradation, and the severities that make curves.
        of("cbsd68", "standard,jpeg:10,jpeg:40,lowres:2,lowres:4", MOST),
        of("set14", "standard"),
        of(SAMPLES, "standard"),
        # Whether photos keep their colour.
        of("cbsd68", "noise:25,blur:1.6,lowres:3,jpeg:20", MOST, metrics="psnr,colour_shift"),
        # Other settings, on the photos on which the usual ones were measured: means over other
        # photos would not compare. Then how much their draws differ.
        of("cbsd68", "noise:25", methods=OTHER_OPTIONS),
        of("cbsd68", "lowres:3", MOST, methods=OTHER_OPTIONS),
        of(
            "cbsd68",
            "noise:25",
            FEW,
            methods=f"gan,diffusion,{OTHER_OPTIONS}",
            metrics=f"{METRICS},psnr_of_mean,deviation",
            seeds=4,
        ),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 1 if a photo could not be read."""
    parser = argparse.ArgumentParser(
        prog="python -m eval leaderboard", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--sets",
        type=Path,
        metavar="DIR",
        help="folder of folders called cbsd68, set14 and live1; what is missing is downloaded, "
        "but for live1",
    )
    add_run_options(parser, LEADERBOARD)
    args = parser.parse_args(argv)
    return measure_all(requests(args.sets), args, parser)

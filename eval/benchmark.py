"""Restore degraded photos with every method and write what was measured, one row per number.

python -m eval --data samples --degradations noise:25,jpeg:10 --methods all --out results.csv

Every table and chart of the project is made from such a file. Rows are written as they are
measured, and a second run with the same --out measures only what is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

import enhancers
from enhancers import degradations, images
from eval import metrics
from eval.datasets import SAMPLES, Dataset, Entry, open_dataset
from eval.results import (
    SECONDS,
    Results,
    Run,
    Stamp,
    format_summary,
    options_text,
    read_results,
    summarise,
)

INPUT = "input"
"""The method that does nothing: the degraded photo itself, with which every table begins."""

Restore = Callable[[Tensor, Tensor, int], Tensor]
"""Called as `restore(degraded, mask, seed)`; tensors as in `Enhancer.restore`."""


@dataclass(frozen=True)
class Method:
    """A way to restore photos: `input`, or an enhancer with the value of each of its options."""

    name: str
    options: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Damage:
    """A degradation and its severity."""

    name: str
    severity: float


@dataclass(frozen=True)
class Task:
    """One restoration to measure."""

    damage: Damage
    seed: int
    method: Method


def parse_methods(text: str) -> tuple[Method, ...]:
    """Read `all` or `input,vae,diffusion:steps=8`; more options: `diffusion:steps=8:eta=0`.

    Raises ValueError for unknown methods and options, and for values out of range.
    """
    words: list[str] = []
    for word in _words(text):
        words += [INPUT, *enhancers.NAMES] if word == "all" else [word]
    return tuple(dict.fromkeys(map(_method, words)))


def _method(word: str) -> Method:
    name, *pairs = word.split(":")
    if name not in (INPUT, *enhancers.NAMES):
        known = ", ".join(["all", INPUT, *enhancers.NAMES])
        raise ValueError(f"No method is called {name!r}; there are {known}.")
    given = dict(_pair(word, pair) for pair in pairs)
    options = {option.name: option for option in enhancers.OPTIONS.get(name, ())}
    if unknown := sorted(set(given) - set(options)):
        raise ValueError(
            f"{name} has no option {', '.join(unknown)}; it takes {', '.join(options) or 'none'}."
        )
    return Method(
        name, tuple((key, o.check(given.get(key, o.default))) for key, o in options.items())
    )


def _pair(word: str, pair: str) -> tuple[str, float]:
    key, _, value = pair.partition("=")
    try:
        return key, float(value)
    except ValueError:
        raise ValueError(f"Expected method:option=number, but got {word!r}.") from None


def parse_damages(text: str) -> tuple[Damage, ...]:
    """Read `noise:25,jpeg:10`; `standard` is every degradation at its default severity."""
    words: list[str] = []
    for word in _words(text):
        words += degradations.NAMES if word == "standard" else [word]
    return tuple(dict.fromkeys(Damage(*degradations.parse(word)) for word in words))


def _words(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise ValueError(f"Expected names with single commas between them, but got {text!r}.")
    return words


def damage_generator(image: str, degradation: str, seed: int) -> torch.Generator:
    """Return the random numbers for one photo, whatever else is measured and in which order.

    They do not depend on the severity either, so that curves over the severity are smooth.
    """
    key = f"{image}|{degradation}|{seed}"
    digest = hashlib.sha256(key.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))


def load_restorers(
    methods: Iterable[Method], device: str
) -> tuple[dict[Method, Restore], dict[str, str]]:
    """Load what the methods need. Returns how to call each, and weights by method name.

    Weights are the first 12 digits of the file's SHA-256, and empty for `input`.
    """
    restorers: dict[Method, Restore] = {}
    weights: dict[str, str] = {}
    loaded: dict[str, enhancers.base.Enhancer] = {}
    for method in methods:
        if method.name == INPUT:
            weights[INPUT], restorers[method] = "", _unchanged
            continue
        if method.name not in loaded:
            loaded[method.name] = enhancers.load(method.name, device=device)
        enhancer = loaded[method.name]
        weights[method.name] = enhancer.spec.sha256[:12]
        restorers[method] = partial(_restore, enhancer, dict(method.options))
    return restorers, weights


def _restore(
    enhancer: enhancers.base.Enhancer,
    options: dict[str, float],
    degraded: Tensor,
    mask: Tensor,
    seed: int,
) -> Tensor:
    return enhancer.restore(degraded, mask, seed=seed, **options)


def _unchanged(degraded: Tensor, mask: Tensor, seed: int) -> Tensor:
    return degraded


def warm_up(restorers: Iterable[Restore]) -> None:
    """Restore a small grey photo with each method, so that the first time measured is typical."""
    for restore in restorers:
        restore(torch.full((1, 3, 64, 64), 0.5), torch.zeros(1, 1, 64, 64), 0)


def run(
    datasets: Iterable[Dataset],
    damages: Iterable[Damage],
    restorers: dict[Method, Restore],
    results: Results,
    *,
    seeds: int = 1,
    names: Iterable[str] = ("psnr", "ssim", "mse"),
) -> int:
    """Measure what `results` does not hold yet, with a progress bar on stderr.

    seeds: every photo is damaged and restored with each seed from 0 to seeds - 1.
    Returns the number of photos that could not be read; each is named on stderr.
    """
    wanted = (*dict.fromkeys(names), SECONDS)
    tasks = [Task(*t) for t in itertools.product(damages, range(seeds), restorers)]

    # Plan first: the progress bar needs the total, and finished photos are not even opened.
    plan: list[tuple[Dataset, Entry, dict[Task, tuple[str, ...]]]] = []
    for dataset in datasets:
        for entry in dataset:
            missing = {t: results.missing(_row(dataset, entry, t), wanted) for t in tasks}
            if todo := {task: names for task, names in missing.items() if names}:
                plan.append((dataset, entry, todo))

    skipped = 0
    with tqdm(total=sum(len(todo) for *_, todo in plan), unit="restoration") as bar:
        for dataset, entry, todo in plan:
            try:
                clean = entry.load()
            except images.ImageError as error:
                skipped += 1
                bar.total -= len(todo)
                bar.write(f"Skipped {dataset.name}/{entry.name}: {error}", file=sys.stderr)
                continue
            for task, values in _measured(entry.name, clean, todo, restorers):
                results.add(_row(dataset, entry, task), values)
                bar.update()
    return skipped


def _row(dataset: Dataset, entry: Entry, task: Task) -> Run:
    return Run(
        dataset.name,
        entry.name,
        task.damage.name,
        f"{task.damage.severity:g}",
        task.method.name,
        options_text(dict(task.method.options)),
        str(task.seed),
    )


def _measured(
    image: str,
    clean: Tensor,
    todo: dict[Task, tuple[str, ...]],
    restorers: dict[Method, Restore],
) -> Iterator[tuple[Task, dict[str, float]]]:
    """Yield the missing measurements of one photo, damaging it once per damage and seed."""
    for (damage, seed), tasks in itertools.groupby(todo, key=lambda t: (t.damage, t.seed)):
        degraded, mask = degradations.degrade(
            clean,
            damage.name,
            damage.severity,
            generator=damage_generator(image, damage.name, seed),
        )
        for task in tasks:
            start = time.perf_counter()
            restored = restorers[task.method](degraded, mask, seed)
            seconds = time.perf_counter() - start
            names = [name for name in todo[task] if name != SECONDS]
            values = metrics.measure(restored, clean, names)
            if SECONDS in todo[task]:
                values[SECONDS] = seconds
            yield task, values


def commit() -> str:
    """Return the commit checked out, with `-dirty` if files differ from it, or `unknown`."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        result = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return result.stdout.strip()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 1 if a photo could not be read."""
    parser = _parser()
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    try:
        # Whatever is wrong with the request shows here, before the long work.
        if args.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("No CUDA device was found; leave --device out.")
        datasets = _open_all(args.data, args.limit)
        damages = parse_damages(args.degradations)
        methods = parse_methods(args.methods)
        names = [metrics.find(name).name for name in _words(args.metrics)]
        restorers, weights = load_restorers(methods, args.device)
        now = commit()
        stamps = {
            name: Stamp(now, sha256, torch.__version__, args.device, str(args.threads))
            for name, sha256 in weights.items()
        }
        results = Results(args.out, stamps)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    try:
        warm_up(restorers.values())
        skipped = run(datasets, damages, restorers, results, seeds=args.seeds, names=names)
    except KeyboardInterrupt:
        print(f"Stopped. The same command goes on with {args.out}.", file=sys.stderr)
        return 130
    print(format_summary(summarise(read_results(args.out))))
    print(f"\nMeans (95% interval over n photos) of {args.out}; pictures rounded to 8 bit.")
    return 1 if skipped else 0


def _open_all(specs: Iterable[str], limit: int | None) -> list[Dataset]:
    datasets = [open_dataset(spec) for spec in specs]
    names = [dataset.name for dataset in datasets]
    if len(set(names)) < len(names):
        raise ValueError(f"Two datasets have one name, among {', '.join(names)}; rename a folder.")
    return [Dataset(dataset.name, dataset.entries[:limit]) for dataset in datasets]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eval", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        nargs="+",
        default=[SAMPLES],
        metavar="DIR",
        help=f"folders of clean photos, or '{SAMPLES}': the photos inside scikit-image (default)",
    )
    parser.add_argument(
        "--degradations",
        default="standard",
        help="such as noise:25,jpeg:10; 'standard' (default): each at its default severity",
    )
    parser.add_argument(
        "--methods",
        default="all",
        help=f"such as {INPUT},vae,diffusion:steps=8; 'all' (default): {INPUT} and each enhancer",
    )
    parser.add_argument(
        "--metrics",
        default="psnr,ssim,mse",
        help=f"of {', '.join(metrics.METRICS)} (default: %(default)s); seconds come in any case",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results.csv"),
        help="appended to; what it holds is not measured again (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds", type=positive, default=1, metavar="N", help="measure with seeds 0 to N-1"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="only N photos per dataset")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--threads",
        type=positive,
        default=torch.get_num_threads(),
        metavar="N",
        help="processor threads (default here: %(default)s)",
    )
    return parser


def positive(text: str) -> int:
    """Read a whole number above 0."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, but got {text!r}")
    return int(text)

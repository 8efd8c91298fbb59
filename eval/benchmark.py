"""Restore degraded photos with every method and write what was measured, one row per number.

python -m eval --data samples --degradations noise:25,jpeg:10 --methods all --out results.csv

Every table and chart of the project is made from such a file. Rows are written as they are
measured, always in the same order, and a second run with the same --out measures only what is
missing. `--workers N` uses N processes of one thread each, and under `accelerate launch -m eval`
the photos are split among its processes, on one machine or several; one process writes the file.

A photo is always damaged in the same way. `--seeds N` restores it N times, with seeds 0 to N - 1,
by methods that may draw random numbers (the networks), and can then tell how much the results
differ: rows of `psnr_of_mean` and `deviation` stand for all seeds up to and including theirs.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

import enhancers
from enhancers import classical, degradations, images
from enhancers.base import Enhancer, OnStep
from eval import metrics, parallel, protocols
from eval.datasets import SAMPLES, Dataset, Entry, open_dataset
from eval.downloads import SOURCES
from eval.memory import MemoryWatch
from eval.published import beside, format_published
from eval.results import (
    SECONDS,
    Results,
    Run,
    Stamp,
    format_summary,
    options_of,
    options_text,
    read_results,
    summarise,
)

INPUT = "input"
"""The method that does nothing: the degraded photo itself, with which every table begins."""

BASELINES = (INPUT, *classical.NAMES)
"""Methods without weights and without chance: one seed tells all of them."""

OF_SEEDS = ("psnr_of_mean", "deviation")
"""Metrics of all the restorations of a photo that differ in the seed alone."""

Restore = Callable[[Tensor, Tensor, int], Tensor]
"""Called as `restore(degraded, mask, seed)`; tensors as in `Enhancer.restore`."""


@dataclass(frozen=True)
class Method:
    """A way to restore photos: one of `BASELINES`, or an enhancer, with all its options."""

    name: str
    options: tuple[tuple[str, float], ...] = ()
    only: tuple[str, ...] = field(default=(), compare=False)
    """Degradations it is measured on; empty for all."""


@dataclass(frozen=True)
class Damage:
    """A degradation and its severity."""

    name: str
    severity: float


@dataclass(frozen=True)
class Request:
    """What is to be measured, in the words of the command line."""

    data: Sequence[str]
    degradations: str = "standard"
    methods: str = "all"
    metrics: str = "standard"
    limit: int | None = None
    """Only so many photos of each dataset; None for all."""
    seeds: int = 1


@dataclass(frozen=True)
class Work:
    """What one method has to do with one damaged photo."""

    method: Method
    names: dict[int, tuple[str, ...]]
    """Metrics by seed."""
    of_seeds: tuple[str, ...]
    """Metrics of all these seeds together."""


@dataclass(frozen=True)
class Job:
    """One photo and one damage: what is measured in one go, in one process."""

    dataset: str
    entry: Entry
    damage: Damage
    works: tuple[Work, ...] = ()

    @property
    def photo(self) -> str:
        """Name of the photo with its dataset."""
        return f"{self.dataset}/{self.entry.name}"

    @property
    def restorations(self) -> int:
        """How many there are to do."""
        return sum(len(work.names) for work in self.works)

    def run(self, method: Method, seed: int) -> Run:
        """Return the first columns of the rows of one restoration."""
        return Run(
            self.dataset,
            self.entry.name,
            self.damage.name,
            f"{self.damage.severity:g}",
            method.name,
            options_text(dict(method.options)),
            str(seed),
        )


@dataclass(frozen=True)
class Outcome:
    """Part of a job that is done, or why none of it can be."""

    photo: str
    restorations: int
    rows: tuple[tuple[Run, dict[str, float]], ...] = ()
    error: str = ""


def parse_methods(text: str) -> tuple[Method, ...]:
    """Read `all`, `baselines` or `input,nlm:sigma=25,diffusion:steps=8`.

    `baselines` are the input and the classical methods, each on the degradations it suits, and
    `all` are these and the enhancers. A method that is named is measured on every degradation.
    Raises ValueError for unknown methods and options, and for values out of range.
    """
    methods: dict[Method, Method] = {}
    for word in _words(text):
        for method in _group(word) if word in ("all", "baselines") else [_method(word)]:
            if method not in methods or not method.only:
                methods[method] = method
    return tuple(methods.values())


def _group(word: str) -> list[Method]:
    baselines = [_method(INPUT)]
    for name in classical.NAMES:
        suits = tuple(d for d in protocols.NAMES if name in classical.suited(protocols.kind(d)))
        baselines.append(Method(name, _method(name).options, suits))
    return baselines + [_method(name) for name in enhancers.NAMES if word == "all"]


def _method(word: str) -> Method:
    name, *pairs = word.split(":")
    known = (INPUT, *enhancers.NAMES, *classical.NAMES)
    if name not in known:
        raise ValueError(
            f"No method is called {name!r}; there are {', '.join(['all', 'baselines', *known])}."
        )
    given = dict(_pair(word, pair) for pair in pairs)
    options = {option.name: option for option in options_of(name)}
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
    return tuple(dict.fromkeys(Damage(*protocols.parse(word)) for word in words))


def parse_metrics(text: str) -> tuple[str, ...]:
    """Read `psnr,ssim`, `standard` or `all`; seconds are measured in any case, and come last."""
    names: list[str] = []
    for word in _words(text):
        groups = {"standard": metrics.STANDARD, "all": metrics.METRICS}
        names += groups.get(word) or [metrics.find(word).name]
    return (*dict.fromkeys(name for name in names if name != SECONDS), SECONDS)


def _words(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise ValueError(f"Expected names with single commas between them, but got {text!r}.")
    return words


def load_restorers(
    methods: Iterable[Method],
    device: str,
    at_hand: Mapping[str, Enhancer] | None = None,
    on_step: OnStep | None = None,
) -> tuple[dict[Method, Restore], dict[str, str]]:
    """Load what the methods need. Returns how to call each, and weights by method name.

    at_hand: enhancers that are loaded already, by name. on_step: as for `Enhancer.restore`.
    Weights are the first 12 digits of the file's SHA-256, and empty for `BASELINES`.
    """
    restorers: dict[Method, Restore] = {}
    weights: dict[str, str] = {}
    loaded = dict(at_hand or {})
    for method in methods:
        if method.name == INPUT:
            weights[INPUT], restorers[method] = "", _unchanged
            continue
        if method.name not in loaded:
            loaded[method.name] = (
                classical.load(method.name)
                if method.name in classical.NAMES
                else enhancers.load(method.name, device=device)
            )
        enhancer = loaded[method.name]
        weights[method.name] = enhancer.spec.sha256[:12]
        restorers[method] = partial(_restore, enhancer, dict(method.options), on_step)
    return restorers, weights


def _restore(
    enhancer: Enhancer,
    options: dict[str, float],
    on_step: OnStep | None,
    degraded: Tensor,
    mask: Tensor,
    seed: int,
) -> Tensor:
    return enhancer.restore(degraded, mask, seed=seed, on_step=on_step, clipped=False, **options)


def _unchanged(degraded: Tensor, mask: Tensor, seed: int) -> Tensor:
    return degraded.clamp(0, 1)


def warm_up(restorers: Iterable[Restore]) -> None:
    """Restore a small grey photo with each method, so that the first time measured is typical."""
    for restore in restorers:
        restore(torch.full((1, 3, 64, 64), 0.5), torch.zeros(1, 1, 64, 64), 0)


def plan(
    datasets: Iterable[Dataset],
    damages: Sequence[Damage],
    methods: Sequence[Method],
    results: Results,
    *,
    seeds: int = 1,
    names: Iterable[str] = metrics.STANDARD,
) -> list[Job]:
    """Return what `results` does not hold yet, in the order in which it will stand there.

    Known before anything starts: the progress bar needs the total, and photos that are finished
    are not even opened.
    """
    wanted = tuple(dict.fromkeys((*names, SECONDS)))
    jobs = []
    for dataset in datasets:
        for entry, damage in itertools.product(dataset, damages):
            job = Job(dataset.name, entry, damage)
            works = [
                _missing(job, method, results, range(seeds), wanted)
                for method in methods
                if not method.only or damage.name in method.only
            ]
            if todo := tuple(work for work in works if work.names):
                jobs.append(replace(job, works=todo))
    return jobs


def _missing(
    job: Job, method: Method, results: Results, seeds: range, wanted: Iterable[str]
) -> Work:
    """Return what is left to do for a method; no seeds where it is nothing."""
    if method.name in BASELINES:
        seeds = range(1)
    defined = [name for name in wanted if name != "psnr_y_sr" or job.damage.name == "lowres"]
    of_seeds = [name for name in defined if name in OF_SEEDS and len(seeds) > 1]
    of_seeds = results.missing(job.run(method, seeds[-1]), of_seeds)
    each = [name for name in defined if name not in OF_SEEDS]
    names = {seed: results.missing(job.run(method, seed), each) for seed in seeds}
    return Work(method, {s: todo for s, todo in names.items() if todo or of_seeds}, of_seeds)


def perform(job: Job, restorers: dict[Method, Restore], device: str = "cpu") -> Iterator[Outcome]:
    """Measure one damaged photo, one restoration after the other."""
    try:
        clean = protocols.truth(job.entry.load(), job.damage.name)
    except images.ImageError as error:
        yield Outcome(job.photo, job.restorations, error=str(error))
        return
    degraded, mask = protocols.damage(clean, job.entry.name, job.damage.name, job.damage.severity)
    for work in job.works:
        pictures = []
        for seed, names in work.names.items():
            restored, values = _measured(
                partial(restorers[work.method], degraded, mask, seed), clean, job, names, device
            )
            pictures.append(restored)
            yield Outcome(job.photo, 1, ((job.run(work.method, seed), values),))
        if work.of_seeds:
            values = {
                "psnr_of_mean": metrics.psnr_of_mean(pictures, clean),
                "deviation": metrics.deviation(pictures),
            }
            run = job.run(work.method, max(work.names))
            yield Outcome(job.photo, 0, ((run, {name: values[name] for name in work.of_seeds}),))


def _measured(
    restore: Callable[[], Tensor], clean: Tensor, job: Job, names: Iterable[str], device: str
) -> tuple[Tensor, dict[str, float]]:
    """Return one restoration and its values, by name in the order of `names`."""
    watch = MemoryWatch(device) if "peak_memory" in names else None
    start = time.perf_counter()
    restored = restore()
    values = {SECONDS: time.perf_counter() - start}
    if watch:
        values["peak_memory"] = watch.peak()
    if "psnr_y_sr" in names:
        values["psnr_y_sr"] = metrics.psnr_y_sr(restored, clean, job.damage.severity)
    values |= metrics.measure(restored, clean, [name for name in names if name not in values])
    return restored, {name: values[name] for name in names}


def record(jobs: Sequence[Job], outcomes: Iterable[Outcome], results: Results) -> set[str]:
    """Write rows as they come, with a progress bar. Returns the photos that were unreadable."""
    skipped: set[str] = set()
    with tqdm(total=sum(job.restorations for job in jobs), unit="restoration") as bar:
        for outcome in outcomes:
            if outcome.error:
                if outcome.photo not in skipped:
                    bar.write(f"Skipped {outcome.photo}: {outcome.error}", file=sys.stderr)
                skipped.add(outcome.photo)
                bar.total -= outcome.restorations
                continue
            for run, values in outcome.rows:
                results.add(run, values)
            bar.update(outcome.restorations)
    return skipped


def commit(but: Path | None = None) -> str:
    """Return the commit checked out, with `-dirty` if files differ from it, or `unknown`.

    but: a file that may differ, such as the one that is being written.
    """
    root = Path(__file__).resolve().parent.parent
    changed = ["git", "status", "--porcelain", "--untracked-files=no", "--", "."]
    if but is not None and but.resolve().is_relative_to(root):
        changed.append(f":(exclude){but.resolve().relative_to(root).as_posix()}")
    try:
        head, dirty = (
            subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
            for command in (["git", "rev-parse", "--short=12", "HEAD"], changed)
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.strip() + ("-dirty" if dirty else "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 1 if a photo could not be read."""
    parser = _parser()
    args = parser.parse_args(argv)
    request = Request(
        args.data, args.degradations, args.methods, args.metrics, args.limit, args.seeds
    )
    return measure_all([request], args, parser)


def measure_all(
    requests: Sequence[Request], args: argparse.Namespace, parser: argparse.ArgumentParser
) -> int:
    """Measure what each request asks for, one after the other, into one file; print its summary.

    args: what `add_run_options` reads. Returns the exit status.
    """
    threads = args.threads or (1 if args.workers > 1 else torch.get_num_threads())
    torch.set_num_threads(threads)
    group = parallel.Group(args.device)
    try:
        # Whatever is wrong with a request shows here, before the long work.
        if args.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("No CUDA device was found; leave --device out.")
        if args.workers > 1 and (group.size > 1 or args.device == "cuda"):
            raise ValueError("--workers are processes of the processor; leave it out.")
        asked = [
            (parse_damages(r.degradations), parse_methods(r.methods), parse_metrics(r.metrics))
            for r in requests
        ]
        with group.main_first():
            opened = [_open_all(request.data, request.limit) for request in requests]
        every = dict.fromkeys(method for _, methods, _ in asked for method in methods)
        restorers, weights = load_restorers(every, group.device)
        now = commit(args.out)
        stamps = {
            name: Stamp(now, sha256, torch.__version__, args.device, str(threads))
            for name, sha256 in weights.items()
        }
        results = Results(args.out, stamps) if group.is_main else None
    except (ValueError, OSError) as error:
        parser.error(str(error))
    skipped: set[str] = set()
    try:
        if args.workers == 1:
            warm_up(restorers.values())
        for request, datasets, (damages, methods, names) in zip(
            requests, opened, asked, strict=True
        ):
            jobs = []
            if group.is_main:  # what the requests before have measured is there by now
                jobs = plan(datasets, damages, methods, results, seeds=request.seeds, names=names)
            if args.workers > 1:
                outcomes = parallel.by_workers(jobs, args.workers, methods)
            else:
                outcomes = group.by_members(jobs, lambda job: perform(job, restorers, group.device))
            if group.is_main:
                skipped |= record(jobs, outcomes, results)
            else:
                for _ in outcomes:
                    pass
    except KeyboardInterrupt:
        print(f"Stopped. The same command goes on with {args.out}.", file=sys.stderr)
        return 130
    group.leave()
    if not group.is_main:
        return 0
    table = summarise(read_results(args.out))
    print(format_summary(table))
    print(f"\nMeans (95% interval over n photos) of {args.out}; pictures rounded to 8 bit.")
    if len(others := beside(table)):
        print(f"\nPublished by others, not measured here:\n{format_published(others)}")
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
        metavar="DIR|NAME",
        help=f"folders of clean photos; '{SAMPLES}' (default): the photos inside scikit-image; "
        f"{', '.join(SOURCES)}: downloaded once, unless there is a folder of that name",
    )
    parser.add_argument(
        "--degradations",
        default="standard",
        help="such as noise:25,jpeg:10; 'standard' (default): each at its default severity; "
        f"{protocols.NOISE_FLOAT}:25 and {protocols.JPEG_GREY}:10 are those of published tables",
    )
    parser.add_argument(
        "--methods",
        default="all",
        help=f"such as {INPUT},nlm:sigma=25,diffusion:steps=8; 'baselines': {INPUT} and the "
        f"classical methods ({', '.join(classical.NAMES)}), each where it suits; 'all' (default): "
        "these and the enhancers",
    )
    parser.add_argument(
        "--metrics",
        default="standard",
        help=f"of {', '.join(metrics.METRICS)}; 'all'; 'standard' (default): "
        f"{', '.join(metrics.STANDARD)}; {SECONDS} come in any case",
    )
    parser.add_argument(
        "--seeds",
        type=positive,
        default=1,
        metavar="N",
        help="restore each damaged photo with seeds 0 to N-1, by methods that may draw numbers",
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="only N photos per dataset")
    add_run_options(parser, Path("results.csv"))
    return parser


def add_run_options(parser: argparse.ArgumentParser, out: Path) -> None:
    """Add the options that say how to measure, and into which file; out: the default."""
    parser.add_argument(
        "--out",
        type=Path,
        default=out,
        help="appended to; what it holds is not measured again (default: %(default)s)",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--workers", type=positive, default=1, metavar="N", help="processes (default: 1)"
    )
    parser.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="processor threads of each process (default: all of one process, 1 of several)",
    )


def positive(text: str) -> int:
    """Read a whole number above 0."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, but got {text!r}")
    return int(text)

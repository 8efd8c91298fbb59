"""A visitor's own photos on the leaderboard: what is measured on them stays theirs. No Gradio here.

The rows go into a file of their own, in the form of `assets/leaderboard.csv`, which is never
written to.
"""

from __future__ import annotations

import queue
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from enhancers.base import Enhancer
from eval import benchmark
from eval.benchmark import INPUT, Job, Outcome
from eval.datasets import Dataset, Entry, centre
from eval.results import Results, Stamp, per_photo, read_results
from ui import batch, job
from ui.line import Line
from ui.runner import HEARTBEAT, Stopped

OWN = "Your photos"
"""Name of the dataset in tables, charts and the file."""
METRICS = "psnr,ssim,mse,psnr_y,haarpsi,gmsd,hf_energy"
MAX_RESTORATIONS = 400
"""Some minutes of work, in between which others have their turn."""


@dataclass(frozen=True)
class Progress:
    """How far a measurement is."""

    done: int
    total: int
    """Restorations."""
    skipped: tuple[str, ...] = ()
    """A sentence for each file that could not be used."""
    ahead: int = 0
    """How many others are served before."""
    seconds_left: float | None = None
    """None until there is something to tell it by."""


class Own:
    """Photos and what was measured on them. All is deleted with the object.

    Large photos are cropped as the samples are, so that the time it takes has a bound.
    """

    def __init__(self, files: Sequence[str]):
        """files: photos, and zip files of photos. Raises ValueError where they are too many."""
        self._folder = tempfile.TemporaryDirectory(prefix="triptych-")
        folder = Path(self._folder.name)
        self.csv = folder / "my-photos.csv"
        items = batch.unpack(files, folder / "photos")
        self.problems = tuple(item.problem for item in items if item.path is None)
        entries = {}
        for item in items:
            if item.path:
                name = _unused(item.name, entries)
                entries[name] = Entry(name, partial(_pixels, item.path))
        self.dataset = Dataset(OWN, tuple(entries.values()))

    def photos(self) -> pd.DataFrame | None:
        """Return what was measured so far, as from `per_photo`; None where it is nothing."""
        table = read_results(self.csv) if self.csv.exists() else ()
        return per_photo(table) if len(table) else None


def _pixels(path: Path) -> torch.Tensor:
    return centre(job.load(path).pixels)


def _unused(name: str, names: Mapping) -> str:
    """Return a name that is not in use: photos of two folders may be called the same."""
    path, count = Path(name), 1
    while name in names:
        count += 1
        name = f"{path.stem} ({count}){path.suffix}"
    return name


def plan(own: Own, damages: Sequence[str], methods: Sequence[str]) -> list[Job]:
    """Return what is to be measured, in the words of `python -m eval`; the input comes first.

    Raises ValueError, with a sentence for the user, for unknown words and for too much work.
    """
    if not own.dataset.entries:
        raise ValueError(" ".join(["None of these files is a photo.", *own.problems]))
    if not damages:
        raise ValueError("Choose at least one damage.")
    results = Results(own.csv, {})
    jobs = benchmark.plan(
        [own.dataset],
        benchmark.parse_damages(",".join(damages)),
        benchmark.parse_methods(",".join([INPUT, *methods])),
        results,
        names=benchmark.parse_metrics(METRICS),
    )
    total = sum(one.restorations for one in jobs)
    if total > MAX_RESTORATIONS:
        raise ValueError(
            f"That would take {total} restorations, and a measurement may take "
            f"{MAX_RESTORATIONS}; choose fewer photos, damages or methods."
        )
    return jobs


def measure(
    own: Own, jobs: Sequence[Job], enhancers: Mapping[str, Enhancer], line: Line
) -> Iterator[Progress]:
    """Do the jobs of `plan` in a thread; yields whenever one restoration is done, or nothing is.

    Closing the iterator stops the thread at its next step. Rows are in `own.csv` at once. Each
    photo waits in the line anew. An exception of a method ends it all.
    """
    events: queue.SimpleQueue[Outcome | int | Exception | None] = queue.SimpleQueue()
    stop = threading.Event()

    def on_step(i: int, n: int, preview: torch.Tensor | None) -> None:
        if stop.is_set():
            raise Stopped

    def work() -> None:
        try:
            methods = dict.fromkeys(work.method for one in jobs for work in one.works)
            restorers, weights = benchmark.load_restorers(methods, "cpu", enhancers, on_step)
            commit, threads = benchmark.commit(), str(torch.get_num_threads())
            stamps = {
                name: Stamp(commit, sha256, torch.__version__, _device(enhancers, name), threads)
                for name, sha256 in weights.items()
            }
            results = Results(own.csv, stamps)
            for one in jobs:
                with line.join() as place:
                    while not place.wait(HEARTBEAT):
                        events.put(place.ahead)
                        if stop.is_set():
                            return
                    for outcome in benchmark.perform(one, restorers):
                        for run, values in outcome.rows:
                            results.add(run, values)
                        events.put(outcome)
                        if stop.is_set():
                            return
            events.put(None)
        except Exception as error:
            events.put(error)

    total = sum(one.restorations for one in jobs)
    done, left_out, ahead, skipped = 0, 0, 0, dict.fromkeys(own.problems)
    start = time.perf_counter()
    threading.Thread(target=work, daemon=True, name="measure").start()
    try:
        while True:
            try:
                event = events.get(timeout=HEARTBEAT)
            except queue.Empty:
                event = ahead
            if event is None:
                return
            if isinstance(event, Exception):
                raise event
            if isinstance(event, int):
                ahead = event
            else:
                ahead = 0
                done += event.restorations * (not event.error)
                left_out += event.restorations * bool(event.error)
                if event.error:
                    skipped[event.error] = None
            spent = time.perf_counter() - start
            left = spent / done * (total - left_out - done) if done else None
            yield Progress(done, total - left_out, tuple(skipped), ahead, left)
    finally:
        stop.set()


def _device(enhancers: Mapping[str, Enhancer], name: str) -> str:
    return str(enhancers[name].device.type) if name in enhancers else "cpu"

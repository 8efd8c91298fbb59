"""Many people at once: how long they wait, whether anything fails, and whether memory grows.

python -m eval.load --clients 20 --seconds 120 --out load.csv

starts app.py and lets clients restore a photo again and again through its public endpoint, as a
script would: upload, queue, and pictures back. Every request has damage of its own, so that none
is answered from the server's memory. After --seconds nothing new is begun; what waits is finished
and counts. The file has a line per request, one per second with the server's memory, and the
summary that is printed.
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from gradio_client import Client, handle_file

from enhancers import images
from eval.benchmark import commit, positive
from eval.results import aligned
from eval.speed import ROOT, cpu_name, rss_mb, running_app, sample_photo, write

LOAD = ROOT / "assets" / "load.csv"
"""What was measured for the README."""

REQUEST, MEMORY = "request", "memory"


@dataclass(frozen=True)
class Row:
    """One line of the file. Fields that do not apply are empty."""

    what: str
    """`request`, `memory`, or the name of a figure of the summary."""
    at_s: float | str
    """Seconds since the clients began: when the request was sent, or the memory read."""
    client: int | str
    value: float | str
    """Seconds a request took; the server's resident memory in units of 2^20 bytes."""
    problem: str = ""
    """What a client was told whose request failed."""
    clients: int | str = ""
    size: str = ""
    commit: str = ""
    cpu: str = ""


COLUMNS = tuple(field.name for field in fields(Row))


def run(clients: int, seconds: float, side: int, threads: int) -> list[Row]:
    """Let `clients` restore photos of side x side pixels for so long; the rows, summary last."""
    rows: list[Row] = []
    with running_app(threads) as app, tempfile.TemporaryDirectory() as name:
        photo = Path(name) / "photo.png"
        images.save_png(photo, sample_photo(side, side))
        begin, done = time.perf_counter(), threading.Event()

        def clock() -> float:
            return round(time.perf_counter() - begin, 2)

        def visit(number: int) -> None:
            folder = Path(name) / str(number)
            rows.extend(requests(app.url, photo, folder, number, seconds, clock))

        def watch() -> None:
            while not done.wait(1):
                rows.append(Row(MEMORY, clock(), "", round(rss_mb(app.pid), 1)))

        visitors = [threading.Thread(target=visit, args=(number,)) for number in range(clients)]
        watcher = threading.Thread(target=watch)
        for thread in (watcher, *visitors):
            thread.start()
        for thread in visitors:
            thread.join()
        done.set()
        watcher.join()
    rows = sorted(rows, key=lambda row: row.at_s) + summary(rows)
    return [replace(row, clients=clients, size=f"{side}x{side}", **_stamp()) for row in rows]


def requests(
    url: str, photo: Path, folder: Path, number: int, seconds: float, clock: Callable[[], float]
) -> Iterator[Row]:
    """Damage and restore a photo through the endpoints until `clock` says so; a row for each."""
    folder.mkdir()
    client = Client(url, download_files=folder, verbose=False)
    given, count = handle_file(photo), 0
    while (begun := clock()) < seconds:
        count += 1
        problem = ""
        try:
            seed = number * 1_000_000 + count  # of damage that nobody has asked for before
            degraded, _ = client.predict(given, "noise", 25, seed, api_name="/degrade")
            *pictures, _ = client.predict(handle_file(degraded), given, api_name="/enhance")
            if None in pictures:
                problem = "A picture is missing."
        except Exception as error:  # whatever it is, it is a failure to be told of
            problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
        yield Row(REQUEST, begun, number, round(clock() - begun, 2), problem)


def summary(rows: Sequence[Row]) -> list[Row]:
    """Figures of a load: requests, failures, waits in seconds, memory in units of 2^20 bytes.

    The memory of the first and the last fifth of the time are medians: their difference is what
    stayed, whatever single requests took meanwhile.
    """
    asked = [row for row in rows if row.what == REQUEST]
    waits = sorted(row.value for row in asked if not row.problem)
    memory = [row.value for row in rows if row.what == MEMORY]
    fifth = math.ceil(len(memory) / 5)
    figures = {
        "requests": len(asked),
        "failures": len(asked) - len(waits),
        "p50_s": percentile(waits, 50),
        "p95_s": percentile(waits, 95),
        "memory_first_fifth_mb": statistics.median(memory[:fifth]) if memory else math.nan,
        "memory_last_fifth_mb": statistics.median(memory[-fifth:]) if memory else math.nan,
        "memory_peak_mb": max(memory, default=math.nan),
    }
    return [Row(name, "", "", value) for name, value in figures.items()]


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The least value that `percent` of them do not exceed; nan of nothing."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


@functools.cache
def _stamp() -> dict[str, str]:
    return {"commit": commit(), "cpu": cpu_name()}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status, 1 if a request failed."""
    parser = argparse.ArgumentParser(
        prog="python -m eval.load", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--out", type=Path, default=Path("load.csv"))
    parser.add_argument("--clients", type=positive, default=20, metavar="N")
    parser.add_argument("--seconds", type=positive, default=120, metavar="S")
    parser.add_argument("--size", type=positive, default=256, metavar="PX", help="side in pixels")
    parser.add_argument("--threads", type=positive, default=2, metavar="N", help="of the server")
    args = parser.parse_args(argv)
    rows = run(args.clients, args.seconds, args.size, args.threads)
    write(rows, args.out, COLUMNS)
    figures = [row for row in rows if row.what not in (REQUEST, MEMORY)]
    print("\n".join(aligned([[row.what, f"{row.value:g}"] for row in figures])))
    problems = sorted({row.problem for row in rows if row.problem})
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

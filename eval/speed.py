"""Time one restoration of each method beside networks of known shape, on the same photo.

python -m eval.speed --out speed.csv [--memory] [--app]

Seconds of one machine say little on another; the ratio to a network that everybody knows says
more. FFDNet and DnCNN stand in with random weights: their shape decides the time, their weights
do not. --memory adds the peak memory of one restoration per method, each in a process of its
own, and --app the time from starting app.py to its first page, and its memory after photos sent
to it as a script would, and what a first visit weighs and when a browser paints it.
"""

from __future__ import annotations

import argparse
import csv
import functools
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from enhancers import images
from enhancers.base import autocast
from eval.benchmark import Method, commit, load_restorers, parse_methods, positive
from eval.datasets import open_dataset
from eval.results import aligned, label, options_text

ROOT = Path(__file__).resolve().parents[1]

METHODS = "vae,gan,diffusion,diffusion:steps=1"
YARDSTICK = "ffdnet-shape"
MEMORY_SIZES = ("512x512", "4000x3000")
APP_PATIENCE_S = 120
VIEWPORT = {"width": 1280, "height": 900}
READY = "#viewer [data-key=input][data-state=shown]"
"""What stands on the page once it can be used."""
_TIMING = """() => {
  const entries = [...performance.getEntriesByType("navigation"),
    ...performance.getEntriesByType("resource")];
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  return [performance.now(), paint.startTime, entries.reduce((sum, e) => sum + e.transferSize, 0)];
}"""
"""Milliseconds since the visit began, twice, and bytes."""


@dataclass(frozen=True)
class Row:
    """One line of the file. Fields that do not apply are empty."""

    method: str
    options: str
    size: str
    """Width x height in pixels."""
    threads: int
    median_s: float | str = ""
    min_s: float | str = ""
    ratio_to_ffdnet_shape: float | str = ""
    """Of the medians."""
    peak_rss_mb: float | str = ""
    """Largest resident memory of the process, in units of 2^20 bytes, Python and torch included."""
    page_mb: float | str = ""
    """What a first visit transfers, in units of 10^6 bytes."""
    commit: str = ""
    torch: str = ""
    cpu: str = ""
    dtype: str = ""
    """In which convolutions compute."""


COLUMNS = tuple(field.name for field in fields(Row))


def ffdnet_shape() -> nn.Module:
    """Return a network of colour FFDNet's shape, (N, 3, H, W) to (N, 3, H, W), H and W even.

    Zhang et al. 2018, "FFDNet": 12 convolutions of 96 channels on pixel-unshuffled photos, with
    a map of the noise level as 13th input channel.
    """
    return nn.Sequential(
        nn.PixelUnshuffle(2),
        nn.ZeroPad3d((0, 0, 0, 0, 0, 1)),  # the noise map: its values do not change the time
        *_convolutions(13, 96, 12, depth=12),
        nn.PixelShuffle(2),
    )


def dncnn_shape() -> nn.Module:
    """Return a network of colour DnCNN's shape, (N, 3, H, W) to (N, 3, H, W).

    Zhang et al. 2017, "Beyond a Gaussian denoiser": 20 convolutions of 64 channels, with their
    batch normalisation merged into them as one does to run it.
    """
    return nn.Sequential(*_convolutions(3, 64, 3, depth=20))


def _convolutions(inputs: int, channels: int, outputs: int, depth: int) -> list[nn.Module]:
    """3x3 convolutions with ReLU between them."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU(inplace=True)]
    for _ in range(depth - 2):
        layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True)]
    return [*layers, nn.Conv2d(channels, outputs, 3, padding=1)]


def fastest(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return how to run a network as fast as this processor can."""
    network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run(photo: Tensor) -> Tensor:
        with autocast(photo.device):
            return network(photo.contiguous(memory_format=torch.channels_last)).float()

    return run


def yardsticks() -> dict[Method, Callable[[Tensor], Tensor]]:
    """Return the networks to compare with, by name."""
    return {
        Method(YARDSTICK): fastest(ffdnet_shape()),
        Method("dncnn-shape"): fastest(dncnn_shape()),
    }


def contenders(methods: Iterable[Method]) -> dict[Method, Callable[[Tensor], Tensor]]:
    """Return how to run each method on a photo, with its options."""
    restorers, _ = load_restorers(methods, "cpu")

    def bound(restore: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda photo: restore(photo, photo.new_zeros(1, 1, *photo.shape[-2:]), 0)

    return {method: bound(restore) for method, restore in restorers.items()}


def measure_times(
    runs: dict[Method, Callable[[Tensor], Tensor]], photo: Tensor, repeats: int
) -> dict[Method, list[float]]:
    """Time each run `repeats` times after a warm-up, in turns (A, B, C, A, B, C, ...).

    In turns, so that a processor that grows hot or busy slows all alike.
    """
    seconds: dict[Method, list[float]] = {method: [] for method in runs}
    with tqdm(total=len(runs) * (repeats + 1), unit="run") as bar:
        for repeat in range(repeats + 1):
            for method, run in runs.items():
                start = time.perf_counter()
                run(photo)
                if repeat > 0:
                    seconds[method].append(time.perf_counter() - start)
                bar.update()
    return seconds


def time_rows(seconds: dict[Method, list[float]], size: str, threads: int) -> list[Row]:
    """Return one row per method; the ratio is to the median of `ffdnet-shape`."""
    reference = statistics.median(seconds[Method(YARDSTICK)])
    rows = []
    for method, times in seconds.items():
        median = statistics.median(times)
        rows.append(
            Row(
                method.name,
                options_text(dict(method.options)),
                size,
                threads,
                median_s=round(median, 4),
                min_s=round(min(times), 4),
                ratio_to_ffdnet_shape=round(median / reference, 3),
                **_stamp(),
            )
        )
    return rows


def sample_photo(width: int, height: int) -> Tensor:
    """Return a bundled photo, stretched to that size, (1, 3, height, width)."""
    photo = open_dataset("samples").entries[0].load()
    return F.interpolate(photo, (height, width), mode="bilinear", antialias=True).clamp(0, 1)


def memory_rows(methods: Sequence[Method], sizes: Iterable[str], threads: int) -> list[Row]:
    """Return the peak memory of one restoration, each in a fresh process.

    The last row of each size, `all`, restores with one method after the other in one process, as
    the page does.
    """
    rows = []
    typed = {method: _typed(method) for method in methods}
    typed[Method("all")] = ",".join(typed.values())
    jobs = [(size, method, words) for size in sizes for method, words in typed.items()]
    for size, method, words in tqdm(jobs, unit="process"):
        command = [sys.executable, "-m", "eval.speed", "--child", words, "--child-size", size]
        command += ["--threads", str(threads)]
        child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if child.returncode:
            raise RuntimeError(f"Restoring {size} with {words} failed: {_last_line(child.stderr)}")
        peak = float(child.stdout.split()[-1])
        options = options_text(dict(method.options))
        rows.append(Row(method.name, options, size, threads, peak_rss_mb=round(peak), **_stamp()))
    return rows


def _typed(method: Method) -> str:
    return label(method.name, options_text(dict(method.options)))


def peak_rss_mb(pid: int | str = "self") -> float:
    """Return the largest resident memory that a process has had, in units of 2^20 bytes.

    Linux only. Not `resource.ru_maxrss`: a new process inherits there the peak of the one that
    started it, and we hold torch in memory.
    """
    return _memory_mb(pid, "VmHWM")


def rss_mb(pid: int | str = "self") -> float:
    """Return the resident memory that a process has now, in units of 2^20 bytes. Linux only."""
    return _memory_mb(pid, "VmRSS")


def _memory_mb(pid: int | str, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"Nothing is known of the memory of process {pid}.")


@dataclass(frozen=True)
class App:
    """A running app.py."""

    url: str
    pid: int
    start_s: float
    """Seconds from starting it to its first page."""


@contextmanager
def running_app(threads: int) -> Iterator[App]:
    """Start app.py on a free port and wait for its first page; end it afterwards.

    Raises RuntimeError if it does not answer.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}/"
    environment = {
        **os.environ,
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "OMP_NUM_THREADS": str(threads),
    }
    with tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        app = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        try:
            while not _answers(url):
                if app.poll() is not None or time.perf_counter() - start > APP_PATIENCE_S:
                    log.seek(0)
                    raise RuntimeError(f"app.py does not answer: {_last_line(log.read())}")
                time.sleep(0.1)
            yield App(url, app.pid, time.perf_counter() - start)
        finally:
            app.terminate()
            try:
                app.wait(10)
            except subprocess.TimeoutExpired:
                app.kill()
                app.wait()


def app_rows(threads: int, sizes: Iterable[str]) -> list[Row]:
    """Measure the first page of app.py, then photos through its own endpoint.

    The first row holds the seconds until the page answers and the memory by then, each further
    row, in the order of `sizes`, the seconds of `/enhance` as a client sees them (upload, queue
    and pictures back included) and the peak so far of the app's process.
    """
    rows = []
    with running_app(threads) as app, tempfile.TemporaryDirectory() as folder:

        def note(what: str, size: str, seconds: float) -> None:
            seconds = round(seconds, 2)
            memory = round(peak_rss_mb(app.pid))
            rows.append(Row("app", what, size, threads, seconds, seconds, "", memory, **_stamp()))

        note("first page", "", app.start_s)
        for size in sizes:
            path = Path(folder) / f"{size}.png"
            images.save_png(path, sample_photo(*map(int, size.split("x"))))
            note("enhance", size, _enhance(app.url, path, folder))
    return rows


def paint_rows(threads: int, repeats: int) -> list[Row]:
    """Return how long a visitor with an empty cache waits for the page, and what it weighs.

    `first paint` is when the browser shows the first text or picture, `all pictures` when the
    opening comparison stands; the weight is of all that was transferred by then, compressed as it
    was. Times exclude the network: browser and server share this machine. Raises RuntimeError
    where there is no browser to ask.
    """
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        raise RuntimeError("No Chromium was found to look at the page; set CHROMIUM to its path.")
    from playwright.sync_api import sync_playwright  # a test's dependency, not the app's

    with running_app(threads) as app, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        visits = [_visit(browser, app.url) for _ in range(repeats)]
        browser.close()
        memory = round(peak_rss_mb(app.pid))
    size = f"{VIEWPORT['width']}x{VIEWPORT['height']}"
    rows = []
    for what, times in (
        ("first paint", [visit.paint_s for visit in visits]),
        ("all pictures", [visit.pictures_s for visit in visits]),
    ):
        median, least = (round(value, 3) for value in (statistics.median(times), min(times)))
        weight = round(max(visit.megabytes for visit in visits), 3)
        rows.append(Row("app", what, size, threads, median, least, "", memory, weight, **_stamp()))
    return rows


@dataclass(frozen=True)
class Visit:
    """What a browser saw of the page."""

    paint_s: float
    pictures_s: float
    megabytes: float


def _visit(browser, url: str) -> Visit:
    with closing(browser.new_context(viewport=VIEWPORT)) as context:  # nothing cached
        page = context.new_page()
        page.set_default_timeout(APP_PATIENCE_S * 1000)
        page.goto(url)
        page.wait_for_selector(READY)
        now, paint, transferred = page.evaluate(_TIMING)
        return Visit(paint / 1000, now / 1000, transferred / 1e6)


def _enhance(url: str, photo: Path, folder: str) -> float:
    """Seconds that a client waits for all results of one photo."""
    from gradio_client import Client, handle_file

    client = Client(url, download_files=folder, verbose=False)
    start = time.perf_counter()
    client.predict(photo=handle_file(photo), api_name="/enhance")
    return time.perf_counter() - start


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never by a proxy
    try:
        with opener.open(url, timeout=5) as response:
            return response.status == 200 and bool(response.read(1))
    except (urllib.error.URLError, OSError):
        return False


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]


@functools.cache
def _stamp() -> dict[str, str]:
    return {"commit": commit(), "torch": torch.__version__, "cpu": cpu_name(), "dtype": dtype()}


def dtype() -> str:
    """Return the type in which convolutions compute under `autocast` on this processor."""
    with autocast(torch.device("cpu")):
        lower = torch.is_autocast_enabled("cpu")
        return str(torch.get_autocast_dtype("cpu") if lower else torch.float32).split(".")[-1]


def cpu_name() -> str:
    """Return the processor's name as its maker gives it, where Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def write(rows: Iterable, path: Path, columns: Sequence[str] = COLUMNS) -> None:
    """Write rows, dataclasses whose fields are `columns`, as csv, replacing the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(astuple(row) for row in rows)


def format_rows(rows: Iterable[Row]) -> str:
    """Lay rows out as text, without the columns that are the same in all."""
    columns = COLUMNS[: COLUMNS.index("commit")]
    return "\n".join(
        aligned([columns, *([str(v) for v in astuple(r)[: len(columns)]] for r in rows)])
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    try:
        if args.child:
            _restore_once(parse_methods(args.child), args.child_size)
            print(peak_rss_mb())
            return 0
        methods = parse_methods(args.methods)
        runs = {**yardsticks(), **contenders(methods)}
    except (ValueError, OSError) as error:
        parser.error(str(error))
    photo = sample_photo(args.size, args.size)
    seconds = measure_times(runs, photo, args.repeats)
    rows = time_rows(seconds, f"{args.size}x{args.size}", args.threads)
    write(rows, args.out)  # already: what follows takes long
    if args.memory:
        rows += memory_rows(methods, args.memory_sizes, args.threads)
    if args.app:
        rows += app_rows(args.threads, args.memory_sizes)
        rows += paint_rows(args.threads, args.repeats)
    write(rows, args.out)
    print(format_rows(rows))
    print(f"\n{cpu_name()}, {dtype()}, torch {torch.__version__}, commit {commit()}")
    return 0


def _restore_once(methods: Iterable[Method], size: str) -> None:
    width, height = map(int, size.split("x"))
    photo = images.quantise(sample_photo(width, height))
    for run in contenders(methods).values():
        run(photo)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m eval.speed", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--out", type=Path, default=Path("speed.csv"))
    parser.add_argument("--methods", default=METHODS, help="default: %(default)s")
    parser.add_argument("--size", type=positive, default=512, metavar="PX", help="side in pixels")
    parser.add_argument("--threads", type=positive, default=2, metavar="N")
    parser.add_argument("--repeats", type=positive, default=5, metavar="N")
    parser.add_argument("--memory", action="store_true", help="measure peak memory too")
    parser.add_argument(
        "--memory-sizes",
        nargs="+",
        default=list(MEMORY_SIZES),
        metavar="WxH",
        help=f"photos of --memory and --app, default: {' '.join(MEMORY_SIZES)}",
    )
    parser.add_argument("--app", action="store_true", help="measure the app itself too")
    parser.add_argument("--child", help=argparse.SUPPRESS)  # one restoration, for --memory
    parser.add_argument("--child-size", default="512x512", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())

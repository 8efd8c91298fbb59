"""The results file: one row per number measured, and the summary of such a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import enhancers
from enhancers import classical
from eval.metrics import METRICS
from eval.statistics import mean

SECONDS = "seconds"
"""Metric of every restoration, whichever others are asked for."""

COLUMNS = (
    "dataset",
    "image",
    "degradation",
    "severity",
    "method",
    "options",
    "seed",
    "metric",
    "value",
    "commit",
    "weights",
    "torch",
    "device",
    "threads",
)


@dataclass(frozen=True)
class Run:
    """The restoration that a row tells of: its first columns, as they stand in the file."""

    dataset: str
    image: str
    degradation: str
    severity: str
    method: str
    options: str
    """Every option, defaults included, as in `eta=0 steps=8`."""
    seed: str


@dataclass(frozen=True)
class Stamp:
    """How a row was measured: its last columns."""

    commit: str
    weights: str
    torch: str
    device: str
    threads: str


class Results:
    """A results file: knows what it holds and appends new rows at once.

    stamps: by method name. Raises ValueError if the file is something else, or holds numbers of
    these methods with other weights, which one table must not mix.
    """

    def __init__(self, path: Path, stamps: dict[str, Stamp]):
        self.path = path
        self._stamps = stamps
        self._done: set[tuple[str, ...]] = set()
        if path.exists() and path.stat().st_size:
            _drop_torn_line(path)
            self._read()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._append([COLUMNS])

    def _read(self) -> None:
        with self.path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if tuple(rows.fieldnames or ()) != COLUMNS:
                raise ValueError(f"{self.path} is not a results file; choose another --out.")
            for row in rows:
                stamp = self._stamps.get(row["method"])
                if stamp and row["weights"] != stamp.weights:
                    raise ValueError(
                        f"{self.path} was measured with other weights of {row['method']} "
                        f"({row['weights']}, now {stamp.weights}); choose another --out."
                    )
                self._done.add(tuple(row[column] for column in COLUMNS[: COLUMNS.index("value")]))

    def missing(self, run: Run, metrics: Iterable[str]) -> tuple[str, ...]:
        """Return those of the metrics that the file does not hold for this run."""
        return tuple(name for name in metrics if (*astuple(run), name) not in self._done)

    def add(self, run: Run, values: dict[str, float]) -> None:
        """Append the metrics of one run."""
        stamp = astuple(self._stamps[run.method])
        self._append([(*astuple(run), name, f"{v:.6f}", *stamp) for name, v in values.items()])
        self._done.update((*astuple(run), name) for name in values)

    def _append(self, rows: Iterable[Sequence[str]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            file.write(text.getvalue())  # one write: an interruption leaves whole rows


def _drop_torn_line(path: Path) -> None:
    """Remove a last line without its end, which a crash may leave."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        path.write_bytes(whole)


def read_results(path: str | Path) -> pd.DataFrame:
    """Return a results file as a table with `COLUMNS`, numbers as numbers."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(table.columns) != COLUMNS:
        raise ValueError(f"{path} is not a results file.")
    return table.astype({"severity": float, "seed": int, "value": float, "threads": int})


def label(method: str, options: str) -> str:
    """Return a method as one types it, `diffusion:steps=8`, without options at their default."""
    default = options_text({o.name: o.default for o in options_of(method)})
    changed = [option for option in options.split() if option not in default.split()]
    return ":".join([method, *changed])


def options_of(method: str) -> tuple[enhancers.Option, ...]:
    """Return the options of a method by its name; none for the input."""
    return enhancers.OPTIONS.get(method) or classical.OPTIONS.get(method, ())


def options_text(options: dict[str, float]) -> str:
    """Return options as a results file holds them."""
    return " ".join(f"{name}={value:g}" for name, value in sorted(options.items()))


def per_photo(table: pd.DataFrame) -> pd.DataFrame:
    """Return one value per photo and number measured, with the seeds of a photo averaged.

    table: as from `read_results`. A column `label` names each method with its options. Left out
    are photos for which a metric is not defined (nan). Rows keep the order of the file.
    """
    group = ["dataset", "degradation", "severity", "method", "options", "metric", "image"]
    photos = table.dropna(subset="value").groupby(group, sort=False)["value"].mean().reset_index()
    names = {
        pair: label(*pair) for pair in set(zip(photos["method"], photos["options"], strict=True))
    }
    photos["label"] = [names[p] for p in zip(photos["method"], photos["options"], strict=True)]
    return photos


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean, 95% interval and n per (dataset, degradation, severity, method, metric).

    table: as from `read_results`. n counts photos; see `per_photo` and `statistics.mean`.
    """
    group = ["dataset", "degradation", "severity", "method", "options", "metric", "label"]
    rows = [
        (*key, *astuple(mean(values.to_numpy())))
        for key, values in per_photo(table).groupby(group, sort=False)["value"]
    ]
    return pd.DataFrame(rows, columns=[*group, "mean", "low", "high", "n"])


def format_summary(summary: pd.DataFrame) -> str:
    """Lay a summary out as text: a block per dataset and degradation, a line per method."""
    blocks = []
    where = ["dataset", "degradation", "severity"]
    for (dataset, degradation, severity), block in summary.groupby(where, sort=False):
        names = list(dict.fromkeys(block["metric"]))
        lines = [["method", *map(_heading, names), "n"]]
        for name, rows in block.groupby("label", sort=False):
            n = rows["n"].max()
            cells = {row.metric: _cell(row, n) for row in rows.itertuples()}
            lines.append([name, *(cells.get(metric, "-") for metric in names), str(n)])
        title = f"{dataset}, {degradation}:{severity:g}"
        blocks.append("\n".join([title, *aligned(lines)]))
    return "\n\n".join(blocks)


def _heading(name: str) -> str:
    metric = METRICS.get(name)
    if metric is None:
        return name
    return f"{metric.title} [{metric.unit}]" if metric.unit else metric.title


def _cell(row, n: int) -> str:
    """Return mean and interval, and how many photos they come from where that is not all n."""
    digits = METRICS[row.metric].digits if row.metric in METRICS else 4
    text = f"{row.mean:.{digits}f}"
    if not np.isnan(row.low):
        text += f" ({row.low:.{digits}f} to {row.high:.{digits}f})"
    return text if row.n == n else f"{text} n={row.n}"


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Pad the cells of each column to one width."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]

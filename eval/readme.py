"""Write the results into the README and the model cards: `python -m eval.readme [--check]`."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from enhancers import NAMES
from enhancers.weights import FOLDER
from eval.leaderboard import LEADERBOARD, damage_title, kind_of, title
from eval.load import LOAD, REQUEST
from eval.metrics import METRICS, Metric
from eval.results import per_photo, read_results
from eval.statistics import Mean, mean, ranks

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
CARDS = {name: FOLDER / name / "README.md" for name in NAMES}
BEGIN, END = "<!-- results: written by `python -m eval.readme` -->", "<!-- end of results -->"
SHOWN = {"psnr": 2, "ssim": 3}
"""Metrics and their decimals, as few as make the tables readable."""
CARD_SHOWN = SHOWN | {"colour_shift": 2}
"""The same for a model's card."""
SETTINGS_SHOWN = {"psnr": 2, "haarpsi": 3, "niqe": 2, "hf_energy": 2, "deviation": 2}
"""Metrics and their decimals where a model's own settings are compared."""
BOLD = (
    "Means over photos ± half their 95% interval (bootstrap). Bold: no other method is better by "
    "a\npaired test over the same photos (Wilcoxon, with Holm's correction); several in one column "
    "are tied."
)


def results_markdown(table: pd.DataFrame, shown: Mapping[str, int] = SHOWN) -> str:
    """Lay out mean and interval of each shown metric, every method at its default options.

    table: as from `read_results`; of its datasets only the first is shown. shown: metrics and
    their decimals. A line per method, the models last, a column per damage, at its middle severity
    where several were measured. Bold are the methods that no other beats in the paired test.
    """
    photos = per_photo(table[table["metric"].isin(shown)])
    photos = photos[(photos["dataset"] == photos["dataset"].iloc[0]) & ~is_tuned(photos["label"])]
    photos = photos[_in_the_middle(photos)]
    damage = photos["degradation"] + " " + photos["severity"].map("{:g}".format)
    blocks = photos.assign(damage=damage).groupby(["dataset", "metric"], sort=False)
    tables = [
        _markdown_table(dataset, METRICS[name], shown[name], block)
        for (dataset, name), block in blocks
    ]
    return "\n\n".join([BOLD, *tables])


def is_tuned(labels: pd.Series) -> pd.Series:
    """Tell the methods whose options are not the default ones."""
    return labels.str.contains(":")


def _in_the_middle(photos: pd.DataFrame) -> pd.Series:
    """Tell the rows whose degradation has its default severity, or was never measured with it."""
    kinds = {name: kind_of(name) for name in photos["degradation"].unique()}
    defaults = {name: kind.default for name, kind in kinds.items() if kind}
    middle = photos["severity"] == photos["degradation"].map(defaults)
    return middle | ~middle.groupby([photos["dataset"], photos["degradation"]]).transform("any")


def _markdown_table(dataset: str, metric: Metric, digits: int, block: pd.DataFrame) -> str:
    """block: rows of `per_photo` of one dataset and metric, with a column `damage`."""
    cells: dict[str, dict[str, str]] = {}
    counts = {}
    for damage, rows in block.groupby("damage", sort=False):
        scores = rows.pivot(index="image", columns="label", values="value")
        places = ranks(scores, metric.higher_is_better)
        counts[damage] = str(len(scores))
        for method in scores:
            text = _cell(mean(scores[method]), digits)
            cells.setdefault(method, {})[damage] = (
                f"**{text}**" if places[method].best == 1 else text
            )
    unit = f" in {metric.unit}" if metric.unit else ""
    lines = [
        ["", *counts],
        ["---", *["---:"] * len(counts)],
        *(
            [title(label), *(cells[label].get(damage, "–") for damage in counts)]
            for label in sorted(block["label"].unique(), key=lambda name: name in NAMES)
        ),
        ["*photos*", *counts.values()],
    ]
    heading = f"{metric.title}{unit}, mean over photos of `{dataset}`:"
    return "\n".join([heading, "", *(f"| {' | '.join(line)} |" for line in lines)])


def _cell(result: Mean, digits: int) -> str:
    text = f"{result.value:.{digits}f}"
    half = (result.high - result.low) / 2
    return text if math.isnan(half) else f"{text} ± {half:.{digits}f}"


def card_markdown(name: str, table: pd.DataFrame) -> str:
    """Lay out what made a model's weights, and its results beside the degraded input's."""
    training = json.loads((CARDS[name].parent / "training.json").read_text())
    made = (
        f"{training['steps']:,} batches, {training['samples']:,} crops, "
        f"{training['minutes']:g} minutes on {training['device']}."
    )
    results = results_markdown(table[table["method"].isin(["input", name])], CARD_SHOWN)
    return "\n\n".join([made, results, *settings_markdown(table[table["method"] == name])])


def settings_markdown(table: pd.DataFrame) -> list[str]:
    """Lay out one method's settings beside each other: a table per damage where it has several.

    table: rows of `read_results`, of one method. A line per setting, a column per metric of
    `SETTINGS_SHOWN`; only photos on which every setting was measured count.
    """
    photos = per_photo(table[table["metric"].isin(SETTINGS_SHOWN)])
    tables = []
    for (dataset, degradation, severity), block in photos.groupby(
        ["dataset", "degradation", "severity"], sort=False
    ):
        cells, counts = {}, {}
        for metric, rows in block.groupby("metric", sort=False):
            scores = rows.pivot(index="image", columns="options", values="value")
            if scores.shape[1] < 2:
                continue
            scores = scores.dropna()
            counts[metric] = str(len(scores))
            for options, mean_score in scores.mean().items():
                cells.setdefault(options, {})[metric] = f"{mean_score:.{SETTINGS_SHOWN[metric]}f}"
        if not cells:
            continue
        titles = [METRICS[metric].title for metric in counts]
        lines = [
            ["", *titles],
            ["---", *["---:"] * len(counts)],
            *(
                [options, *(cells[options].get(metric, "–") for metric in counts)]
                for options in sorted(cells, key=_amount)
            ),
            ["*photos*", *counts.values()],
        ]
        heading = f"Settings, `{dataset}`, {damage_title(degradation, severity)}:"
        tables.append("\n".join([heading, "", *(f"| {' | '.join(line)} |" for line in lines)]))
    return tables


def _amount(options: str) -> float:
    """What stands behind `name=`, to sort by."""
    return float(options.rpartition("=")[2])


def load_markdown(table: pd.DataFrame) -> str:
    """Tell how the page bore many visitors, by the summary in a file of `eval.load`."""
    figure = dict(zip(table["what"], table["value"], strict=True))
    row = table.iloc[-1]
    seconds = table.loc[table["what"] == REQUEST, "at_s"].max()
    return (
        f"{row['clients']:g} visitors at once, each with one photo of {row['size']} pixels after "
        f"another, for {seconds:.0f} s\n"
        f"on {row['cpu']}: {figure['requests']:g} requests, {figure['failures']:g} failures; "
        f"half were answered\nwithin {figure['p50_s']:.1f} s, 95% within {figure['p95_s']:.1f} s. "
        f"The server held {figure['memory_first_fifth_mb']:.0f} MB in the first fifth of the\ntime "
        f"and {figure['memory_last_fifth_mb']:.0f} MB in the last, {figure['memory_peak_mb']:.0f} "
        f"MB at most (`{LOAD.relative_to(ROOT)}`)."
    )


def rewritten(text: str, results: str) -> str:
    """Return a text with what stands between its marks replaced by `results`.

    Raises ValueError where the marks are missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"Expected {BEGIN} and {END} in the text, but they are not there.")
    return f"{before}{BEGIN}\n{results}\n{END}{after}"


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m eval.readme", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only tell whether they agree")
    arguments = parser.parse_args(argv)
    disagree = []
    for path, results in all_results(read_results(LEADERBOARD)).items():
        old = path.read_text(encoding="utf-8")
        new = rewritten(old, results)
        if old != new:
            disagree.append(str(path.relative_to(ROOT)))
            if not arguments.check:
                path.write_text(new, encoding="utf-8")
    if arguments.check and disagree:
        print(f"{', '.join(disagree)}: not as measured; run `python -m eval.readme`.")
    return int(arguments.check and bool(disagree))


def all_results(table: pd.DataFrame) -> dict[Path, str]:
    """What belongs into each file that shows results."""
    cards = {path: card_markdown(name, table) for name, path in CARDS.items()}
    load = load_markdown(pd.read_csv(LOAD))
    return {README: f"{results_markdown(table)}\n\n{load}"} | cards


if __name__ == "__main__":
    sys.exit(main())

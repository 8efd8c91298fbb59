"""Write the results into the README and the model cards: `python -m eval.readme [--check]`."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import pandas as pd

from enhancers import NAMES
from enhancers.weights import FOLDER
from eval.leaderboard import LEADERBOARD, kind_of, title
from eval.metrics import METRICS, Metric
from eval.results import per_photo, read_results
from eval.statistics import Mean, mean, ranks

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
CARDS = {name: FOLDER / name / "README.md" for name in NAMES}
BEGIN, END = "<!-- results: written by `python -m eval.readme` -->", "<!-- end of results -->"
SHOWN = {"psnr": 2, "ssim": 3}
"""Metrics and their decimals, as few as make the tables readable."""
BOLD = (
    "Means over photos ± half their 95% interval (bootstrap). Bold: no other method is better by "
    "a\npaired test over the same photos (Wilcoxon, with Holm's correction); several in one column "
    "are tied."
)


def results_markdown(table: pd.DataFrame) -> str:
    """Lay out mean and interval of each shown metric, every method at its default options.

    table: as from `read_results`; of its datasets only the first is shown. A line per method, a
    column per damage, at its middle severity where several were measured. Bold are the methods
    that no other beats in the paired test.
    """
    photos = per_photo(table[table["metric"].isin(SHOWN)])
    photos = photos[(photos["dataset"] == photos["dataset"].iloc[0]) & ~is_tuned(photos["label"])]
    photos = photos[_in_the_middle(photos)]
    damage = photos["degradation"] + " " + photos["severity"].map("{:g}".format)
    blocks = photos.assign(damage=damage).groupby(["dataset", "metric"], sort=False)
    tables = [_markdown_table(dataset, METRICS[name], block) for (dataset, name), block in blocks]
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


def _markdown_table(dataset: str, metric: Metric, block: pd.DataFrame) -> str:
    """block: rows of `per_photo` of one dataset and metric, with a column `damage`."""
    cells: dict[str, dict[str, str]] = {}
    counts = {}
    for damage, rows in block.groupby("damage", sort=False):
        scores = rows.pivot(index="image", columns="label", values="value")
        places = ranks(scores, metric.higher_is_better)
        counts[damage] = str(len(scores))
        for method in scores:
            text = _cell(mean(scores[method]), SHOWN[metric.name])
            cells.setdefault(method, {})[damage] = (
                f"**{text}**" if places[method].best == 1 else text
            )
    unit = f" in {metric.unit}" if metric.unit else ""
    lines = [
        ["", *counts],
        ["---", *["---:"] * len(counts)],
        *(
            [title(label), *(cells[label].get(damage, "–") for damage in counts)]
            for label in dict.fromkeys(block["label"])
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
    return f"{made}\n\n{results_markdown(table[table['method'].isin(['input', name])])}"


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
    return {README: results_markdown(table)} | cards


if __name__ == "__main__":
    sys.exit(main())

"""Write the README's results tables from the leaderboard: `python -m eval.readme [--check]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

import enhancers
from eval.metrics import METRICS
from eval.results import read_results, summarise

ROOT = Path(__file__).parent.parent
LEADERBOARD = ROOT / "assets" / "leaderboard.csv"
README = ROOT / "README.md"
BEGIN, END = "<!-- results: written by `python -m eval.readme` -->", "<!-- end of results -->"
SHOWN = ("psnr", "ssim")


def results_markdown(table: pd.DataFrame) -> str:
    """Lay out the mean of each shown metric: a table per dataset and metric, a line per method.

    table: as from `read_results`. The best method of each column is bold.
    """
    summary = summarise(table, resamples=1)
    parts = []
    for (dataset, name), block in summary[summary["metric"].isin(SHOWN)].groupby(
        ["dataset", "metric"], sort=False
    ):
        metric = METRICS[name]
        damage = block["degradation"] + " " + block["severity"].map("{:g}".format)
        means = block.assign(damage=damage).pivot(index="label", columns="damage", values="mean")
        means = means.loc[list(dict.fromkeys(block["label"])), list(dict.fromkeys(damage))]
        best = means.max() if metric.higher_is_better else means.min()
        digits = 2 if name == "psnr" else 3
        unit = f" in {metric.unit}" if metric.unit else ""
        lines = [
            f"{metric.title}{unit}, mean over photos of `{dataset}`:",
            "",
            "| | " + " | ".join(means.columns) + " |",
            "|---|" + "---:|" * len(means.columns),
        ]
        for method, row in means.iterrows():
            cells = [
                f"**{value:.{digits}f}**" if value == best[column] else f"{value:.{digits}f}"
                for column, value in row.items()
            ]
            lines.append(f"| {title(method)} | " + " | ".join(cells) + " |")
        photos = block.assign(damage=damage).groupby("damage")["n"].min()
        counts = [f"{photos[column]}" for column in means.columns]
        parts.append("\n".join([*lines, "| *photos* | " + " | ".join(counts) + " |"]))
    return "\n\n".join(parts)


def title(method: str) -> str:
    """Return a method's name for people: `diffusion:steps=1` -> `Diffusion, steps=1`."""
    name, *options = method.split(":")
    return ", ".join([enhancers.TITLES.get(name, "Degraded input"), *options])


def rewritten(readme: str, table: pd.DataFrame) -> str:
    """Return the README with its results replaced by those of `table`.

    Raises ValueError where the marks that enclose them are missing.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"Expected {BEGIN} and {END} in the README, but they are not there.")
    return f"{before}{BEGIN}\n{results_markdown(table)}\n{END}{after}"


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m eval.readme", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only tell whether they agree")
    arguments = parser.parse_args(argv)
    old = README.read_text(encoding="utf-8")
    new = rewritten(old, read_results(LEADERBOARD))
    if arguments.check:
        if old != new:
            print("README.md and assets/leaderboard.csv disagree; run `python -m eval.readme`.")
        return int(old != new)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

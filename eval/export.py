"""Write the leaderboard into one HTML file, to be hosted without a server.

python -m eval report --html leaderboard.html

The file holds every chart and table of the page's Leaderboard tab and plotly.js itself; it asks
nothing of the network. Its filters pick from what was drawn beforehand.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from plotly.offline import get_plotlyjs
from tqdm import tqdm

from eval import charts, leaderboard, report
from eval.leaderboard import View
from eval.metrics import METRICS
from eval.published import read_published
from eval.results import per_photo, read_results

HERE = Path(__file__).parent
PAGE, STYLE, SCRIPT = (
    (HERE / f"export.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
)
FILTERS = {"dataset": "Photos", "degradation": "Damage", "severity": "Severity", "metric": "Metric"}


def views(photos: pd.DataFrame) -> list[View]:
    """Return every view there is something to see of; photos: as from `results.per_photo`."""
    rows = photos[photos["metric"].isin(METRICS)]
    order = rows[list(FILTERS)].drop_duplicates()
    return [View(*row) for row in order.itertuples(index=False)]


def drawn(
    photos: pd.DataFrame, speed: pd.DataFrame, published: pd.DataFrame, view: View
) -> dict[str, dict]:
    """Return the tables of one view as HTML and its charts as plotly reads them, by place."""
    standings = leaderboard.standings(leaderboard.scores(photos, view), view.metric)
    first, second = leaderboard.two_of([row.label for row in standings])
    theirs = leaderboard.published(published, view)
    figures = {
        "ranking": charts.ranking(photos, view),
        "curves": charts.severity_curves(photos, view),
        "plane": charts.perception_distortion(photos, view),
        "speed": charts.speed_quality(photos, speed, view),
        "scatter": charts.photo_scatter(photos, view, first, second),
    }
    return {
        "tables": {
            "meaning": report.meaning(view),
            "standings": report.standings_table(standings, view),
            "beside": report.published_table(theirs, standings, view),
            "wins": report.wins_table(standings),
        },
        "charts": {name: json.loads(figure.to_json()) for name, figure in figures.items()},
    }


def page(
    photos: pd.DataFrame, speed: pd.DataFrame, published: pd.DataFrame, commits: Sequence[str]
) -> str:
    """Return the whole file. commits: those at which the numbers were measured."""
    data = [
        {
            "titles": _titles(view),
            "usual": leaderboard.is_usual(view.degradation, view.severity),
            **drawn(photos, speed, published, view),
        }
        for view in tqdm(views(photos), unit="view")
    ]
    # Charts of one damage differ little, so compressing takes them to a small part.
    packed = gzip.compress(json.dumps(data).encode(), mtime=0)
    parts = {
        "style": report.CSS + STYLE,
        "filters": "".join(_select(*item) for item in FILTERS.items()),
        "commits": html.escape(", ".join(commits)),
        "data": base64.b64encode(packed).decode(),
        "plotly": get_plotlyjs(),
        "script": report.JS + SCRIPT,
    }
    return re.sub(r"\{(\w+)\}", lambda mark: parts[mark[1]], PAGE)


def _titles(view: View) -> tuple[str, ...]:
    """What the filters call a view, in their order."""
    kind = leaderboard.kind_title(view.degradation)
    return view.dataset, kind, f"{view.severity:g}", METRICS[view.metric].title


def _select(name: str, title: str) -> str:
    return f'<label>{title}<select data-filter="{name}"></select></label>'


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m eval report", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--html", type=Path, required=True, metavar="FILE", help="where to write")
    parser.add_argument(
        "--results",
        type=Path,
        default=leaderboard.LEADERBOARD,
        metavar="CSV",
        help="what `python -m eval` measured (default: the shipped leaderboard)",
    )
    args = parser.parse_args(argv)
    try:
        table = read_results(args.results)
        speed = pd.read_csv(leaderboard.SPEED, dtype=str, keep_default_na=False)
        photos = per_photo(table)
        if photos.empty:
            raise ValueError(f"{args.results} holds no measurement yet.")
        text = page(photos, speed, read_published(), table["commit"].unique())
        args.html.write_text(text, encoding="utf-8")
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return 0

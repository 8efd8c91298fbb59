"""Figures that others have published, to stand beside ours where the test is the same.

`assets/published.csv` says of each where it comes from, how it was measured and what differs:
whether the network was told what happened to the photo, or trained for that one degradation.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

PUBLISHED = Path(__file__).parent.parent / "assets" / "published.csv"

COLUMNS = (
    "test", "degradation", "severity", "protocol", "metric", "value", "method", "source", "differs",
)  # fmt: skip
"""`test` is a dataset as in result files; degradation, severity and metric too."""


def read_published(path: Path = PUBLISHED) -> pd.DataFrame:
    """Return the published figures as a table with `COLUMNS`, numbers as numbers."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(table.columns) != COLUMNS:
        raise ValueError(f"{path} is not a file of published figures.")
    return table.astype({"severity": float, "value": float})


def beside(table: pd.DataFrame) -> pd.DataFrame:
    """Return the published figures for which `table` holds ours: same photos, damage and metric.

    table: with the columns dataset, degradation, severity and metric, as from
    `results.read_results` or `results.summarise`.
    """
    ours = table[["dataset", "degradation", "severity", "metric"]].drop_duplicates()
    ours = ours.rename(columns={"dataset": "test"})
    return read_published().merge(ours, on=list(ours.columns))


def format_published(rows: pd.DataFrame) -> str:
    """Lay published figures out as text, a line each."""
    return "\n".join(
        f"{row.test}, {row.degradation}:{row.severity:g}  {row.method}  {row.metric} {row.value:g}"
        f"  ({row.differs}; {row.source})"
        for row in rows.itertuples()
    )

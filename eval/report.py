"""The leaderboard in HTML: the tables that the page shows too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from eval.leaderboard import (
    INPUT,
    Standing,
    View,
    behind,
    counted,
    damage_title,
    direction,
    title,
)
from eval.metrics import METRICS

HERE = Path(__file__).parent
CSS = (HERE / "report.css").read_text(encoding="utf-8")
JS = (HERE / "report.js").read_text(encoding="utf-8")


def meaning(view: View) -> str:
    """Say what is compared, and what the metric means."""
    metric = METRICS[view.metric]
    return (
        f'<p class="meaning"><b>{escape(metric.title)}</b> ({direction(view.metric)}). '
        f"{escape(metric.meaning)}</p>"
    )


def standings_table(rows: Sequence[Standing], view: View, opens: bool = False) -> str:
    """Lay out mean, interval, rank and number of photos, a line per method, the best mean first.

    Columns sort by number where a click on their heading is heard (`report.js`). opens: whether a
    click on a line is heard too, so that methods are buttons.
    """
    digits = METRICS[view.metric].digits
    unit = METRICS[view.metric].unit
    heading = escape(METRICS[view.metric].title + (f", {unit}" if unit else ""))
    ranked = any(row.rank for row in rows)
    columns = ["Method", *(["Rank"] if ranked else []), heading, "95% interval", "Photos"]
    body = "".join(_standing(row, digits, ranked, opens) for row in rows)
    where = f"{damage_title(view.degradation, view.severity)}, {view.dataset}"
    note = (
        "A rank is a range where a paired test over the photos (Wilcoxon, with Holm's correction) "
        "cannot decide: such methods are tied. Intervals that overlap do not make a tie, since "
        "methods are compared photo by photo."
        if ranked
        else "Neither high nor low is better, so there are no ranks."
    )
    return _table(f"{where}: means over photos", columns, body, note, "standings", sortable=True)


def _standing(row: Standing, digits: int, ranked: bool, opens: bool) -> str:
    best = ranked and row.rank is not None and row.rank.best == 1
    low, high = row.mean.low, row.mean.high
    interval = "–" if math.isnan(low) else f"{low:.{digits}f} to {high:.{digits}f}"
    cells = [
        *([_rank(row)] if ranked else []),
        _number(f"{row.mean.value:.{digits}f}", row.mean.value),
        _number(interval, low),
        _number(str(row.mean.n), row.mean.n),
    ]
    name = escape(title(row.label))
    if opens:
        name = _button(name, behind(row.label))
    return f'<tr{" class=best" if best else ""}><th scope="row">{name}</th>{"".join(cells)}</tr>'


def _button(name: str, asked: str) -> str:
    """name: HTML. asked: see `leaderboard.behind`."""
    return f'<button type="button" data-behind="{escape(asked)}">{name}</button>'


def _rank(row: Standing) -> str:
    if row.rank is None:
        return "<td>–</td>"
    if not row.rank.tied:
        word = " <small>best</small>" if row.rank.best == 1 else ""
        return _number(f"{row.rank.best}{word}", row.rank.best)
    key = row.rank.best + row.rank.worst / 1000
    return _number(f"{row.rank.best}–{row.rank.worst} <small>tied</small>", key)


def _number(text: str, value: float) -> str:
    return f'<td data-value="{value:g}">{text}</td>'


def photos_table(table: pd.DataFrame, view: View, label: str, at_hand: bool) -> str:
    """Lay out what a method's mean is made of, a line per photo, the best first.

    table: as from `leaderboard.scores`, with a column `label`. at_hand: whether the photos can be
    shown, so that their names are buttons.
    """
    metric = METRICS[view.metric]
    higher = metric.higher_is_better
    values = table[label].dropna()
    if higher is not None:
        values = values.sort_values(ascending=not higher, kind="stable")
    beside = label != INPUT and INPUT in table
    ends = {} if higher is None or len(values) < 2 else {0: "best", len(values) - 1: "worst"}
    lines = []
    for place, (image, value) in enumerate(values.items()):
        name = escape(image)
        if at_hand:
            name = _button(name, behind(label, severity=view.severity, image=image))
        word = f" <small>{ends[place]}</small>" if place in ends else ""
        cells = [_number(f"{value:.{metric.digits}f}{word}", value)]
        if beside:
            before = table.loc[image, INPUT]
            gain = value - before
            cells += [
                _number(f"{before:.{metric.digits}f}", before),
                _number("–" if math.isnan(gain) else f"{gain:+.{metric.digits}f}", gain),
            ]
        lines.append(f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>')
    unit = f", {metric.unit}" if metric.unit else ""
    columns = ["Photo", escape(metric.title + unit)]
    columns += [escape(title(INPUT)), "Difference"] if beside else []
    note = f"{metric.title}: {direction(view.metric)}. " + (
        "Press a photo to see it."
        if at_hand
        else f"The photos of {view.dataset} are not on this server, so they cannot be shown."
    )
    where = f"{title(label)}, {damage_title(view.degradation, view.severity)}, {view.dataset}"
    return _table(f"{where}: photo by photo", columns, "".join(lines), escape(note), "photos", True)


def wins_table(rows: Sequence[Standing]) -> str:
    """Lay out how often each method beats each other; empty where there is nothing to compare."""
    labels = [row.label for row in rows]
    if not any(row.wins for row in rows):
        return ""
    body = "".join(
        f'<tr><th scope="row">{escape(title(row.label))}</th>'
        + "".join(_share(row.wins.get(other)) for other in labels)
        + "</tr>"
        for row in rows
    )
    columns = ["Method", *(escape(title(name)) for name in labels)]
    note = (
        "Share of the photos on which the method of the line is better than that of the column; "
        "a draw counts half. Coloured where it is better on more than half."
    )
    return _table("Who beats whom", columns, body, note, "wins")


def _share(share: float | None) -> str:
    if share is None:
        return "<td>–</td>"
    return f"<td{' class=won' if share > 0.5 else ''}>{share:.0%}</td>"


def published_table(rows: pd.DataFrame, ours: Sequence[Standing], view: View) -> str:
    """Lay out published results beside ours; empty where there are none.

    rows: as from `leaderboard.published`.
    """
    if rows.empty:
        return ""
    digits = METRICS[view.metric].digits
    found = [
        (float(row.value), escape(row.method), escape(row.source), escape(row.differs), True)
        for row in rows.itertuples()
    ]
    found += [
        (row.mean.value, escape(title(row.label)), "measured here", counted([row.mean.n]), False)
        for row in ours
    ]
    found.sort(reverse=METRICS[view.metric].higher_is_better is not False)
    body = "".join(
        f'<tr{" class=published" if theirs else ""}><th scope="row">{method}'
        f"{' <small>published</small>' if theirs else ''}</th>"
        f'{_number(f"{value:.{digits}f}", value)}<td class="prose">{source}</td>'
        f'<td class="prose">{differs}</td></tr>'
        for value, method, source, differs, theirs in found
    )
    columns = ["Method", escape(METRICS[view.metric].title), "Source", "What differs"]
    note = "Published numbers are their authors', on the same test; they were not measured here."
    return _table("Beside published results", columns, body, note, "beside", sortable=True)


def _table(
    caption: str,
    columns: Sequence[str],
    body: str,
    note: str,
    kind: str,
    sortable: bool = False,
) -> str:
    """columns: HTML of the headings."""
    heads = [f"<button type=button>{name}</button>" if sortable else name for name in columns]
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        f'<section class="report {kind}"><h3>{escape(caption)}</h3>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f'<p class="note">{note}</p></section>'
    )

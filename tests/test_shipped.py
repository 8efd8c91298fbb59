"""The command that makes the leaderboard, and proof that what it measures is right."""

import csv
import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval import benchmark, shipped
from eval.benchmark import Request, parse_damages, parse_methods, parse_metrics
from eval.datasets import open_dataset
from eval.leaderboard import LEADERBOARD
from eval.metrics import psnr, psnr_y_sr
from eval.protocols import damage, truth
from eval.published import read_published
from eval.results import read_results

SETS = os.environ.get("TEST_SETS")
needs_sets = pytest.mark.skipif(
    SETS is None, reason="needs the photos of public test sets: set TEST_SETS to their folder"
)


@pytest.fixture
def sets(tmp_path):
    """A folder with three small test sets."""
    random = np.random.default_rng(0)
    for name in ("cbsd68", "set14", "live1"):
        (tmp_path / "sets" / name).mkdir(parents=True)
        for photo in ("a.png", "b.png"):
            coarse = random.integers(40, 200, (4, 5, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((20, 16)).save(tmp_path / "sets" / name / photo)
    return tmp_path / "sets"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# --- The command -------------------------------------------------------------------------------


def test_everything_asked_for_is_known_and_live1_is_for_jpeg_alone(sets):
    asked = shipped.requests(sets)
    measured = {}
    for request in asked:
        parse_methods(request.methods)
        assert "psnr" in parse_metrics(request.metrics)
        (data,) = request.data
        names = {damage.name for damage in parse_damages(request.degradations)}
        measured.setdefault(Path(data).name, set()).update(names)
    assert set(measured) == {"samples", "cbsd68", "set14", "live1"}
    assert measured["live1"] == {"jpeg", "jpeg-grey"}
    assert "noise-float" in measured["cbsd68"]
    assert all(
        set(benchmark.degradations.NAMES) <= measured[name]
        for name in ("samples", "cbsd68", "set14")
    )


def test_sets_that_are_at_hand_are_not_downloaded(sets):
    data = {request.data[0] for request in shipped.requests(sets)}
    assert data == {"samples", *(str(sets / name) for name in ("cbsd68", "set14", "live1"))}
    (sets / "set14").rename(sets / "other")
    assert "set14" in {request.data[0] for request in shipped.requests(sets)}
    assert {request.data[0] for request in shipped.requests()} >= {"cbsd68", "set14", "live1"}


def test_requests_that_overlap_measure_once(sets, tmp_path, monkeypatch, capsys):
    twice = [
        Request([str(sets / "set14")], "noise:25", "input,unsharp", limit=1),
        Request([str(sets / "set14")], "blur,noise:25", "input,unsharp"),
    ]
    monkeypatch.setattr(shipped, "requests", lambda _: twice)
    out = tmp_path / "board.csv"
    assert shipped.main(["--out", str(out), "--sets", str(sets)]) == 0
    rows = rows_of(out)
    keys = [tuple(row.values())[:8] for row in rows]
    assert len(set(keys)) == len(keys) == 2 * 2 * 2 * 4  # photos, damages, methods, metrics
    assert [row["degradation"] for row in rows][:8] == ["noise"] * 8
    assert capsys.readouterr().out.count("set14, noise:25\n") == 1
    before = out.read_text()
    assert shipped.main(["--out", str(out)]) == 0
    assert out.read_text() == before


def test_missing_live1_is_told_before_any_work(sets, tmp_path, capsys):
    (sets / "live1").rename(sets / "other")
    with pytest.raises(SystemExit) as stop:
        shipped.main(["--out", str(tmp_path / "board.csv"), "--sets", str(sets)])
    assert stop.value.code == 2
    assert "'live1' is not a folder" in capsys.readouterr().err
    assert not (tmp_path / "board.csv").exists()


@pytest.mark.parametrize("command", ["leaderboard", "report", ""])
def test_a_first_word_chooses_the_command(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["eval", *command.split(), "--help"])
    with pytest.raises(SystemExit):
        runpy.run_module("eval", run_name="__main__")
    assert f"usage: {f'python -m eval {command}'.strip()} [-h]" in capsys.readouterr().out


# --- Proof that it is right --------------------------------------------------------------------


def test_two_runs_with_one_seed_differ_in_nothing_but_times(sets, tmp_path):
    def timeless(path):
        return [line for line in path.read_text().splitlines() if ",seconds," not in line]

    asked = ["--data", str(sets / "set14"), "--methods", "input,unsharp", "--metrics", "psnr"]
    for name in ("1.csv", "2.csv"):
        assert benchmark.main([*asked, "--out", str(tmp_path / name)]) == 0
    assert timeless(tmp_path / "1.csv") == timeless(tmp_path / "2.csv")
    assert len(timeless(tmp_path / "1.csv")) == 1 + 2 * 9 * 2  # photos, damages, methods


PUBLISHED = (
    # What nothing but the protocol decides: the damaged photo itself, and bicubic enlargement.
    ("set14", "lowres", 4.0, "psnr_y_sr", "Bicubic"),
    ("live1", "jpeg-grey", 10.0, "psnr", "JPEG"),
)


def published(test, degradation, severity, metric, method) -> float:
    table = read_published()
    for column, value in zip(
        ("test", "degradation", "severity", "metric", "method"),
        (test, degradation, severity, metric, method),
        strict=True,
    ):
        table = table[table[column] == value]
    (found,) = table["value"]
    return found


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row[0])
def test_the_input_measures_as_published_on_the_leaderboard(row):
    test, degradation, severity, metric, _ = row
    table = read_results(LEADERBOARD)
    ours = table[
        (table["dataset"] == test)
        & (table["degradation"] == degradation)
        & (table["severity"] == severity)
        & (table["metric"] == metric)
        & (table["method"] == "input")
    ]
    assert len(ours) == {"set14": 14, "live1": 29}[test]
    assert ours["value"].mean() == pytest.approx(published(*row), abs=0.1)


@needs_sets
@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row[0])
def test_the_input_measures_as_published(row):
    test, degradation, severity, metric, _ = row
    values = []
    for entry in open_dataset(Path(SETS) / test):
        clean = truth(entry.load(), degradation)
        degraded, _ = damage(clean, entry.name, degradation, severity)
        values.append(
            psnr(degraded, clean) if metric == "psnr" else psnr_y_sr(degraded, clean, severity)
        )
    assert np.mean(values) == pytest.approx(published(*row), abs=0.1)

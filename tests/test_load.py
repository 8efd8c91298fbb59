"""The load benchmark, against fakes."""

import csv
import math

from eval import load, speed
from eval.load import MEMORY, REQUEST, Row, percentile, requests, summary

APP = """
import gradio as gr

with gr.Blocks() as demo:
    photo, other = (gr.Image(type="filepath") for _ in range(2))
    rest = [gr.Textbox(), gr.Number(), gr.Number()]
    gr.on([], lambda photo, *rest: (photo, photo), [photo, *rest], [photo, other],
          api_name="degrade")
    gr.on([], lambda photo, other: (photo, {}), [photo, other], [photo, gr.JSON()],
          api_name="enhance")
demo.launch()
"""


def test_percentiles_are_values_that_were_seen():
    waits = [float(n) for n in range(1, 21)]
    assert (percentile(waits, 50), percentile(waits, 95), percentile(waits, 100)) == (10, 19, 20)
    assert percentile([7.0], 95) == 7
    assert math.isnan(percentile([], 50))


def test_summary_counts_failures_apart_and_compares_memory():
    rows = [Row(REQUEST, 0, 0, wait) for wait in (1.0, 2.0, 4.0)]
    rows += [Row(REQUEST, 1, 1, 99.0, "AppError: no"), Row(REQUEST, 1, 1, 3.0)]
    rows += [Row(MEMORY, n, "", value) for n, value in enumerate([100, 101, 300, 110, 109])]
    assert {row.what: row.value for row in summary(rows)} == {
        "requests": 5,
        "failures": 1,
        "p50_s": 2.0,
        "p95_s": 4.0,
        "memory_first_fifth_mb": 100,
        "memory_last_fifth_mb": 109,
        "memory_peak_mb": 300,
    }


def test_a_client_asks_until_the_time_is_over(server, photo, tmp_path):
    times = iter([0, 2, 2.5, 7, 10])
    rows = list(requests(server.url, photo, tmp_path / "one", 3, 10, lambda: next(times)))
    assert rows == [Row(REQUEST, 0, 3, 2), Row(REQUEST, 2.5, 3, 4.5)]
    before = server.enhancers["vae"].begun
    times = iter([0, 1, 10])
    list(requests(server.url, photo, tmp_path / "two", 4, 10, lambda: next(times)))
    assert server.enhancers["vae"].begun == before + 1  # not answered from memory


def test_what_fails_is_told(server, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    times = iter([0, 1, 10])
    (row,) = requests(
        server.url, tmp_path / "bad.png", tmp_path / "one", 0, 10, lambda: next(times)
    )
    assert "bad.png is not a picture" in row.problem


def test_file_has_requests_memory_and_a_summary(tmp_path, monkeypatch, capsys):
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.setattr(speed, "ROOT", tmp_path)
    out = tmp_path / "new" / "load.csv"
    arguments = ["--clients", "3", "--seconds", "2", "--size", "32", "--threads", "1"]
    assert load.main([*arguments, "--out", str(out)]) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == load.COLUMNS
    assert {row["client"] for row in rows if row["what"] == REQUEST} == {"0", "1", "2"}
    assert all(float(row["value"]) > 50 for row in rows if row["what"] == MEMORY)
    figures = {row["what"]: float(row["value"]) for row in rows[-7:]}
    assert figures["failures"] == 0
    assert figures["requests"] == sum(row["what"] == REQUEST for row in rows) >= 3
    assert 0 < figures["p50_s"] <= figures["p95_s"]
    assert {row["clients"] for row in rows} == {"3"}
    assert "p95_s" in capsys.readouterr().out

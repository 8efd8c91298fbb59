import csv
import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import enhancers
from enhancers import degradations
from enhancers.base import Enhancer, Option, Spec
from eval import benchmark
from eval.benchmark import Damage, Method, damage_generator, main, parse_damages, parse_methods
from eval.results import COLUMNS, Results, Run, Stamp, format_summary, read_results, summarise

OPTIONS = {
    "vae": (),
    "gan": (),
    "diffusion": (
        Option("steps", 1, 50, 8, "Number of steps.", integer=True),
        Option("eta", 0, 1, 0.5, "Noise added."),
    ),
}


class Fake(Enhancer):
    """Brightens by 10 levels of 255, or by as many as there are steps."""

    device = torch.device("cpu")

    def __init__(self, name, sha256="0123456789abcdef" * 4):
        self.spec = Spec(name, name.upper(), 1, sha256, options=OPTIONS[name])
        self.calls = []

    def _restore(self, degraded, mask, generator, on_step, **options):
        self.calls.append((tuple(degraded.shape), options))
        return degraded + options.get("steps", 10) / 255


@pytest.fixture
def fakes(monkeypatch):
    """Replace the enhancers; gives each by name."""
    made = {name: Fake(name) for name in OPTIONS}
    monkeypatch.setattr(enhancers, "NAMES", tuple(OPTIONS), raising=False)
    monkeypatch.setattr(enhancers, "OPTIONS", OPTIONS, raising=False)
    monkeypatch.setattr(enhancers, "load", lambda name, device="cpu": made[name], raising=False)
    return made


@pytest.fixture
def folder(tmp_path):
    """Three small photos, in a dataset called `photos`."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        coarse = rng.integers(40, 200, (4, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((20, 16)).save(folder / f"{name}.png")
    return folder


def evaluate(folder, out, *extra):
    threads = str(torch.get_num_threads())
    return main(["--data", str(folder), "--out", str(out), "--threads", threads, *extra])


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# --- What is asked for -------------------------------------------------------------------------


def test_methods_are_parsed_with_all_their_options(fakes):
    diffusion = Method("diffusion", (("steps", 8), ("eta", 0.5)))
    assert parse_methods("all") == (Method("input"), Method("vae"), Method("gan"), diffusion)
    assert parse_methods(" vae, input ") == (Method("vae"), Method("input"))
    assert parse_methods("diffusion:eta=0:steps=2") == (
        Method("diffusion", (("steps", 2), ("eta", 0.0))),
    )
    # The default, spelled out, is not another method.
    assert parse_methods("diffusion,diffusion:steps=8,diffusion:steps=1") == (
        diffusion,
        Method("diffusion", (("steps", 1), ("eta", 0.5))),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bm3d", "No method is called 'bm3d'; there are all, input, vae, gan, diffusion"),
        ("vae:steps=2", "vae has no option steps; it takes none"),
        ("diffusion:step=2", "diffusion has no option step; it takes steps, eta"),
        ("diffusion:steps=99", "steps must lie between 1 and 50, but got 99"),
        ("diffusion:steps=1.5", "steps must be a whole number"),
        ("diffusion:steps", "method:option=number, but got 'diffusion:steps'"),
        ("vae,,gan", "single commas"),
        ("", "single commas"),
    ],
)
def test_wrong_methods_are_refused(fakes, text, message):
    with pytest.raises(ValueError, match=message):
        parse_methods(text)


def test_damages_are_parsed():
    assert parse_damages("noise:25,jpeg:10") == (Damage("noise", 25), Damage("jpeg", 10))
    standard = parse_damages("standard")
    assert tuple(damage.name for damage in standard) == degradations.NAMES
    assert parse_damages("noise,standard")[0] == standard[0]
    assert len(parse_damages("noise,standard")) == len(standard)
    with pytest.raises(ValueError, match="fog"):
        parse_damages("fog:3")


# --- What is measured --------------------------------------------------------------------------


def test_one_row_per_number(fakes, folder, tmp_path):
    out = tmp_path / "new" / "results.csv"
    assert evaluate(folder, out, "--degradations", "noise:25,jpeg:10", "--methods", "all") == 0
    rows = rows_of(out)
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 3 * 2 * 4 * 4  # photos, degradations, methods, metrics with seconds
    keys = {tuple(row[column] for column in COLUMNS[:8]) for row in rows}
    assert len(keys) == len(rows)
    assert {row["dataset"] for row in rows} == {"photos"}
    assert {row["image"] for row in rows} == {"a.png", "b.png", "c.png"}
    assert {(row["degradation"], row["severity"]) for row in rows} == {
        ("noise", "25"),
        ("jpeg", "10"),
    }
    assert {row["metric"] for row in rows} == {"psnr", "ssim", "mse", "seconds"}
    assert {(row["method"], row["options"], row["weights"]) for row in rows} == {
        ("input", "", ""),
        ("vae", "", "0123456789ab"),
        ("gan", "", "0123456789ab"),
        ("diffusion", "eta=0.5 steps=8", "0123456789ab"),
    }
    assert {(row["torch"], row["device"]) for row in rows} == {(torch.__version__, "cpu")}
    assert {row["threads"] for row in rows} == {str(torch.get_num_threads())}
    assert rows[0]["commit"] == benchmark.commit()


def test_values_are_those_of_the_degraded_photo(fakes, folder, tmp_path):
    out = tmp_path / "results.csv"
    evaluate(folder, out, "--degradations", "noise:20", "--methods", "input,gan", "--limit", "1")
    value = {(row["method"], row["metric"]): float(row["value"]) for row in rows_of(out)}

    clean = torch.from_numpy(np.asarray(Image.open(folder / "a.png")).copy())
    clean = clean.permute(2, 0, 1)[None] / 255
    degraded, _ = degradations.degrade(
        clean, "noise", 20, generator=damage_generator("a.png", "noise", 0)
    )
    error = (degraded - clean) * 255
    assert value["input", "mse"] == pytest.approx(float(error.square().mean()), rel=1e-4)
    assert value["input", "psnr"] == pytest.approx(
        10 * math.log10(255**2 / float(error.square().mean())), abs=1e-3
    )
    brighter = (degraded * 255 + 10).clamp(max=255) - clean * 255
    assert value["gan", "mse"] == pytest.approx(float(brighter.square().mean()), rel=1e-4)
    assert value["gan", "seconds"] >= 0


def test_output_is_rounded_to_8_bits_before_it_is_measured(fakes, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(fakes["vae"], "_restore", lambda degraded, *_, **__: degraded + 0.3 / 255)
    out = tmp_path / "results.csv"
    evaluate(folder, out, "--degradations", "jpeg:30", "--methods", "input,vae")
    table = (
        read_results(out)
        .query("metric == 'mse'")
        .pivot(index="image", columns="method", values="value")
    )
    assert (table["input"] == table["vae"]).all()
    assert (table["input"] > 0).all()


def test_options_and_mask_reach_the_enhancer(fakes, folder, tmp_path, monkeypatch):
    seen = []
    enhancer = fakes["diffusion"]
    monkeypatch.setattr(
        enhancer,
        "restore",
        lambda degraded, mask, **k: seen.append((float(mask.mean()), k)) or degraded,
    )
    out = tmp_path / "results.csv"
    methods = "diffusion:steps=1,diffusion:steps=3"
    evaluate(folder, out, "--degradations", "scratches:20", "--methods", methods, "--seeds", "2")
    seen = seen[2:]  # the first two warm up
    assert [k for _, k in seen] == 3 * [
        {"seed": seed, "steps": steps, "eta": 0.5} for seed in (0, 1) for steps in (1, 3)
    ]
    assert all(0.05 < covered < 0.5 for covered, _ in seen)


def test_damage_depends_on_photo_degradation_and_seed_alone(fakes, folder, tmp_path):
    def damage(out, *extra):
        evaluate(folder, out, "--methods", "input", *extra)
        rows = [row for row in rows_of(out) if row["metric"] == "mse"]
        return {(r["image"], r["degradation"], r["seed"]): r["value"] for r in rows}

    alone = damage(tmp_path / "1.csv", "--degradations", "noise:25", "--limit", "1")
    amid = damage(tmp_path / "2.csv", "--degradations", "jpeg:10,noise:25", "--seeds", "3")
    assert alone[("a.png", "noise", "0")] == amid[("a.png", "noise", "0")]
    (folder / "a.png").unlink()
    without = damage(tmp_path / "3.csv", "--degradations", "noise:25")
    assert without[("b.png", "noise", "0")] == amid[("b.png", "noise", "0")]
    assert len({amid["a.png", "noise", seed] for seed in "012"}) == 3


def test_generators_are_the_same_in_every_process():
    # Python's own hash() of text differs from process to process.
    assert damage_generator("a.png", "noise", 0).initial_seed() == 1448728703
    seeds = {
        damage_generator(image, degradation, seed).initial_seed()
        for image in ("a.png", "b.png")
        for degradation in ("noise", "blur")
        for seed in (0, 1)
    }
    assert len(seeds) == 8


# --- Going on where it stopped -----------------------------------------------------------------


def test_second_run_measures_only_what_is_missing(fakes, folder, tmp_path):
    out = tmp_path / "results.csv"
    evaluate(folder, out, "--degradations", "noise:25", "--methods", "vae", "--metrics", "psnr")
    before = out.read_text()
    calls = fakes["vae"].calls
    calls.clear()

    evaluate(folder, out, "--degradations", "noise:25", "--methods", "vae", "--metrics", "psnr")
    assert out.read_text() == before
    assert len(calls) == 1  # the warm-up

    evaluate(folder, out, "--degradations", "noise:25", "--methods", "vae,gan")
    assert out.read_text().startswith(before)
    rows = rows_of(out)
    assert len(rows) == 3 * 2 * 4
    assert len({tuple(row[column] for column in COLUMNS[:8]) for row in rows}) == len(rows)


def test_interruption_loses_nothing(fakes, folder, tmp_path, monkeypatch, capsys):
    restore = fakes["vae"].restore
    calls = []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:  # warm-up, a.png, b.png, and c.png is stopped
            raise KeyboardInterrupt
        return restore(*args, **kwargs)

    monkeypatch.setattr(fakes["vae"], "restore", interrupted)
    out = tmp_path / "results.csv"
    asked = ("--degradations", "noise:25", "--methods", "vae")
    assert evaluate(folder, out, *asked) == 130
    assert "goes on with" in capsys.readouterr().err
    assert [row["image"] for row in rows_of(out)] == 4 * ["a.png"] + 4 * ["b.png"]
    assert evaluate(folder, out, *asked) == 0
    assert [row["image"] for row in rows_of(out)][8:] == 4 * ["c.png"]


def test_torn_last_line_is_measured_again(fakes, folder, tmp_path):
    out = tmp_path / "results.csv"
    asked = ("--degradations", "noise:25", "--methods", "input", "--limit", "1")
    evaluate(folder, out, *asked)
    whole = rows_of(out)
    out.write_bytes(out.read_bytes()[:-30])
    evaluate(folder, out, *asked)
    again = rows_of(out)
    assert [row["metric"] for row in again] == [row["metric"] for row in whole]
    assert again[:-1] == whole[:-1]


def test_other_weights_do_not_mix_into_one_file(fakes, folder, tmp_path, capsys):
    out = tmp_path / "results.csv"
    evaluate(folder, out, "--degradations", "noise:25", "--methods", "vae")
    fakes["vae"] = Fake("vae", sha256="f" * 64)
    with pytest.raises(SystemExit) as stop:
        evaluate(folder, out, "--degradations", "noise:25", "--methods", "vae")
    assert stop.value.code == 2
    assert "other weights of vae (0123456789ab, now ffffffffffff)" in capsys.readouterr().err
    assert evaluate(folder, out, "--degradations", "noise:25", "--methods", "input") == 0


def test_foreign_file_is_left_alone(fakes, folder, tmp_path, capsys):
    out = tmp_path / "notes.csv"
    out.write_text("a,b\n1,2\n")
    with pytest.raises(SystemExit):
        evaluate(folder, out, "--methods", "input")
    assert "is not a results file" in capsys.readouterr().err
    assert out.read_text() == "a,b\n1,2\n"


# --- What goes wrong ---------------------------------------------------------------------------


def test_unreadable_photos_are_named_and_the_rest_measured(fakes, folder, tmp_path, capsys):
    (folder / "b.png").write_bytes(b"no picture")
    out = tmp_path / "results.csv"
    asked = ("--degradations", "noise:25,blur", "--methods", "input")
    assert evaluate(folder, out, *asked) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "Skipped" in line]
    assert len(lines) == 1
    assert "photos/b.png" in lines[0]
    assert {row["image"] for row in rows_of(out)} == {"a.png", "c.png"}
    assert evaluate(folder, out, *asked) == 1  # still not measured


def test_nothing_but_unreadable_photos(fakes, folder, tmp_path):
    for photo in folder.iterdir():
        photo.write_bytes(b"")
    assert evaluate(folder, tmp_path / "results.csv", "--methods", "input") == 1


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--methods", "bm3d"], "No method is called 'bm3d'"),
        (["--degradations", "fog"], "fog"),
        (["--metrics", "lpips"], "No metric is called 'lpips'"),
        (["--seeds", "0"], "whole number above 0"),
        (["--limit", "-1"], "whole number above 0"),
        (["--data", "nowhere"], "'nowhere' is not a folder"),
        (["--data", "samples", "samples"], "Two datasets have one name"),
    ],
)
def test_wrong_requests_are_refused_before_any_work(
    fakes, folder, tmp_path, capsys, extra, message
):
    out = tmp_path / "results.csv"
    with pytest.raises(SystemExit) as stop:
        evaluate(folder, out, *extra)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_missing_weights_are_told_in_one_line(fakes, folder, tmp_path, capsys, monkeypatch):
    def load(name, device="cpu"):
        raise FileNotFoundError(f"No weights of {name}.")

    monkeypatch.setattr(enhancers, "load", load)
    with pytest.raises(SystemExit):
        evaluate(folder, tmp_path / "results.csv", "--methods", "vae")
    assert "error: No weights of vae." in capsys.readouterr().err


def test_photos_of_one_pixel_are_measured_without_ssim(fakes, tmp_path):
    folder = tmp_path / "dots"
    folder.mkdir()
    Image.new("RGB", (1, 1), (90, 80, 70)).save(folder / "dot.png")
    out = tmp_path / "results.csv"
    assert evaluate(folder, out, "--degradations", "noise:25", "--methods", "input,vae") == 0
    table = read_results(out)
    assert table.query("metric == 'ssim'")["value"].isna().all()
    assert table.query("metric != 'ssim'")["value"].notna().all()


# --- The summary -------------------------------------------------------------------------------


def table_of(values, metric="psnr", method="input", options="", seeds=None):
    seeds = seeds or [0] * len(values)
    rows = [
        {
            "dataset": "d",
            "image": f"{i}.png",
            "degradation": "noise",
            "severity": 25.0,
            "method": method,
            "options": options,
            "seed": seed,
            "metric": metric,
            "value": value,
        }
        for i, (value, seed) in enumerate(zip(values, seeds, strict=True))
    ]
    return pd.DataFrame(rows)


def test_summary_has_mean_and_interval_over_photos(fakes):
    values = np.random.default_rng(1).normal(30, 2, 400)
    row = summarise(table_of(values)).iloc[0]
    assert row["mean"] == pytest.approx(values.mean())
    half = 1.96 * values.std() / math.sqrt(400)  # what theory says of so many photos
    assert row["low"] == pytest.approx(values.mean() - half, abs=0.02)
    assert row["high"] == pytest.approx(values.mean() + half, abs=0.02)
    assert row["n"] == 400
    assert summarise(table_of(values)).equals(summarise(table_of(values)))


def test_seeds_of_a_photo_count_once(fakes):
    table = pd.concat([table_of([20.0, 30.0]), table_of([22.0, 30.0], seeds=[1, 1])])
    row = summarise(table).iloc[0]
    assert (row["mean"], row["n"]) == (25.5, 2)
    assert 21 <= row["low"] <= row["high"] <= 30


def test_undefined_and_infinite_values_in_the_summary(fakes):
    assert summarise(table_of([0.5, math.nan, 0.7])).iloc[0]["n"] == 2
    row = summarise(table_of([30.0, math.inf])).iloc[0]
    assert row["mean"] == math.inf
    assert math.isnan(row["low"])
    assert math.isnan(summarise(table_of([30.0])).iloc[0]["low"])


def test_summary_as_text(fakes):
    table = pd.concat(
        [
            table_of([20.0, 30.0]),
            table_of([0.5, math.nan], metric="ssim"),
            table_of([25.0], method="diffusion", options="eta=0.5 steps=8"),
            table_of([24.0], method="diffusion", options="eta=0 steps=1"),
        ]
    )
    assert format_summary(summarise(table)).splitlines() == [
        "d, noise:25",
        "method                   PSNR [dB]               SSIM        n",
        "input                    25.00 (20.00 to 30.00)  0.5000 n=1  2",
        "diffusion                25.00                   -           1",
        "diffusion:eta=0:steps=1  24.00                   -           1",
    ]


def test_summary_is_printed(fakes, folder, tmp_path, capsys):
    out = tmp_path / "results.csv"
    evaluate(folder, out, "--degradations", "noise:25,jpeg:10", "--methods", "input,vae")
    text = capsys.readouterr().out
    assert "photos, noise:25\n" in text
    assert "photos, jpeg:10\n" in text
    assert format_summary(summarise(read_results(out))) in text


# --- Parts -------------------------------------------------------------------------------------


def test_results_say_what_is_missing(tmp_path):
    stamps = {"input": Stamp("c", "", "t", "cpu", "1")}
    run = Run("d", "a.png", "noise", "25", "input", "", "0")
    path = tmp_path / "results.csv"
    results = Results(path, stamps)
    assert results.missing(run, ("psnr", "mse")) == ("psnr", "mse")
    results.add(run, {"psnr": 30.0})
    assert results.missing(run, ("psnr", "mse")) == ("mse",)
    assert Results(path, stamps).missing(run, ("psnr", "mse")) == ("mse",)
    other = Run("d", "a.png", "noise", "25", "input", "", "1")
    assert Results(path, stamps).missing(other, ("psnr",)) == ("psnr",)


def test_commit_is_known_or_says_so(monkeypatch):
    assert benchmark.commit()
    monkeypatch.setattr(
        benchmark.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="abc-dirty\n")
    )
    assert benchmark.commit() == "abc-dirty"

    def no_git(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(benchmark.subprocess, "run", no_git)
    assert benchmark.commit() == "unknown"


def test_command_line_starts_without_the_page():
    code = "import sys, eval.benchmark; print('gradio' in sys.modules, 'plotly' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["False", "False"], result.stderr

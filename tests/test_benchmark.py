import csv
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from fakes import SEEDS
from PIL import Image

import enhancers
from enhancers import classical, degradations
from enhancers.base import Enhancer, Option, Spec, randomness
from eval import benchmark
from eval.benchmark import (
    Damage,
    Method,
    main,
    parse_damages,
    parse_methods,
    parse_metrics,
)
from eval.leaderboard import LEADERBOARD
from eval.protocols import damage_generator
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
    assert parse_methods("input,vae,gan,diffusion") == (
        Method("input"),
        Method("vae"),
        Method("gan"),
        diffusion,
    )
    assert parse_methods(" vae, input ") == (Method("vae"), Method("input"))
    assert parse_methods("diffusion:eta=0:steps=2") == (
        Method("diffusion", (("steps", 2), ("eta", 0.0))),
    )
    # The default, spelled out, is not another method.
    assert parse_methods("diffusion,diffusion:steps=8,diffusion:steps=1") == (
        diffusion,
        Method("diffusion", (("steps", 1), ("eta", 0.5))),
    )


def test_groups_of_methods(fakes):
    everything = parse_methods("all")
    assert [method.name for method in everything] == ["input", *classical.NAMES, *OPTIONS]
    assert parse_methods("baselines") == everything[: -len(OPTIONS)]
    only = {method.name: method.only for method in everything}
    assert only["input"] == only["vae"] == ()
    assert only["nlm"] == ("noise", "shot", "noise-float")
    assert only["biharmonic"] == ("scratches",)
    # A method that is named is measured everywhere, in a group too.
    for text in ("nlm", "baselines,nlm", "nlm,baselines", "nlm:sigma=0,all"):
        (nlm,) = (method for method in parse_methods(text) if method.name == "nlm")
        assert nlm == Method("nlm", (("sigma", 0.0),))
        assert nlm.only == ()


def test_metrics_are_parsed():
    assert parse_metrics("psnr,psnr") == ("psnr", "seconds")
    assert parse_metrics("standard,gmsd") == ("psnr", "ssim", "mse", "gmsd", "seconds")
    assert set(parse_metrics("all")) == set(benchmark.metrics.METRICS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bm3d", "No method is called 'bm3d'; there are all, baselines, input, vae, gan, diff"),
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
    assert parse_damages("jpeg-grey:10") == (Damage("jpeg-grey", 10),)
    assert parse_damages("noise-float:15,noise-float") == (
        Damage("noise-float", 15),
        Damage("noise-float", 25),
    )
    standard = parse_damages("standard")
    assert tuple(damage.name for damage in standard) == degradations.NAMES
    assert parse_damages("noise,standard")[0] == standard[0]
    assert len(parse_damages("noise,standard")) == len(standard)
    with pytest.raises(ValueError, match="fog"):
        parse_damages("fog:3")


# --- What is measured --------------------------------------------------------------------------


def test_one_row_per_number(fakes, folder, tmp_path):
    out = tmp_path / "new" / "results.csv"
    methods = "input,vae,gan,diffusion"
    assert evaluate(folder, out, "--degradations", "noise:25,jpeg:10", "--methods", methods) == 0
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
        clean, "noise", 20, generator=damage_generator("a.png", "noise")
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
        {"seed": seed, "on_step": None, "clipped": False, "steps": steps, "eta": 0.5}
        for steps in (1, 3)
        for seed in (0, 1)
    ]
    assert all(0.05 < covered < 0.5 for covered, _ in seen)


def test_damage_depends_on_photo_and_degradation_alone(fakes, folder, tmp_path):
    def damage(out, *extra):
        evaluate(folder, out, *extra)
        rows = [row for row in rows_of(out) if row["metric"] == "mse"]
        return {(r["image"], r["degradation"], r["method"], r["seed"]): r["value"] for r in rows}

    asked = ("--methods", "input", "--degradations", "noise:25")
    alone = damage(tmp_path / "1.csv", *asked, "--limit", "1")
    amid = damage(
        tmp_path / "2.csv", "--methods", "vae,input", "--degradations", "jpeg:10,noise:25",
        "--seeds", "3",
    )  # fmt: skip
    key = ("a.png", "noise", "input", "0")
    assert alone[key] == amid[key]
    (folder / "a.png").unlink()
    without = damage(tmp_path / "3.csv", *asked)
    key = ("b.png", "noise", "input", "0")
    assert without[key] == amid[key]
    assert len({amid["a.png", "noise", "vae", seed] for seed in "012"}) == 1  # Fake draws nothing


def test_generators_are_the_same_in_every_process():
    # Python's own hash() of text differs from process to process.
    assert damage_generator("a.png", "noise").initial_seed() == 1448728703
    seeds = {
        damage_generator(image, degradation).initial_seed()
        for image in ("a.png", "b.png")
        for degradation in ("noise", "blur")
    }
    assert len(seeds) == 4


# --- Several seeds -----------------------------------------------------------------------------


class Drawing(Fake):
    """Brightens by as many levels as the first random number says, from 0 to 9."""

    def _restore(self, degraded, mask, generator, on_step, **options):
        self.calls.append(SEEDS[generator.initial_seed()])
        return degraded + torch.randint(10, (1,), generator=generator) / 255


def test_seeds_are_rows_and_their_spread_is_measured(fakes, folder, tmp_path):
    fakes["gan"] = Drawing("gan")
    out = tmp_path / "results.csv"
    asked = ("--degradations", "jpeg:90", "--methods", "input,gan", "--limit", "1")
    metrics = ("--metrics", "mse,psnr_of_mean,deviation")
    assert evaluate(folder, out, *asked, *metrics, "--seeds", "3") == 0
    rows = [(r["method"], r["metric"], r["seed"], float(r["value"])) for r in rows_of(out)]
    kinds = [row[:3] for row in rows if row[1] != "seconds"]
    assert kinds == [
        ("input", "mse", "0"),
        *(("gan", "mse", seed) for seed in "012"),
        ("gan", "psnr_of_mean", "2"),
        ("gan", "deviation", "2"),
    ]
    value = {row[:3]: row[3] for row in rows}
    levels = [int(torch.randint(10, (1,), generator=randomness(seed))) for seed in range(3)]
    assert len(set(levels)) > 1
    assert value["gan", "deviation", "2"] == pytest.approx(np.std(levels, ddof=1), abs=1e-5)
    # The photo stays clear of black and white, so the mean is the input, brightened.
    clean = benchmark.open_dataset(folder).entries[0].load()
    degraded, _ = benchmark.protocols.damage(clean, "a.png", "jpeg", 90)
    error = (degraded - clean) * 255 + np.mean(levels)
    expected = 10 * math.log10(255**2 / float(error.square().mean()))
    assert value["gan", "psnr_of_mean", "2"] == pytest.approx(expected, abs=1e-4)
    assert value["gan", "psnr_of_mean", "2"] > 10 * math.log10(
        255**2 / np.mean([value["gan", "mse", seed] for seed in "012"])
    )


def test_more_seeds_later_measure_only_what_is_new(fakes, folder, tmp_path):
    fakes["gan"] = Drawing("gan")
    out = tmp_path / "results.csv"
    asked = ("--degradations", "noise:25", "--methods", "gan", "--limit", "1")
    evaluate(folder, out, *asked, "--metrics", "mse", "--seeds", "2")
    fakes["gan"].calls.clear()
    evaluate(folder, out, *asked, "--metrics", "mse", "--seeds", "3")
    assert fakes["gan"].calls == [0, 2]  # the warm-up, and the new seed
    fakes["gan"].calls.clear()
    before = out.read_text()
    evaluate(folder, out, *asked, "--metrics", "deviation", "--seeds", "3")
    assert fakes["gan"].calls == [0, 0, 1, 2]  # all are needed to compare them
    assert out.read_text().startswith(before)
    assert [r["metric"] for r in rows_of(out)].count("deviation") == 1
    fakes["gan"].calls.clear()
    evaluate(folder, out, *asked, "--metrics", "mse,deviation", "--seeds", "3")
    assert fakes["gan"].calls == [0]


# --- Baselines, and other metrics --------------------------------------------------------------


def test_baselines_are_measured_where_they_suit(fakes, folder, tmp_path):
    out = tmp_path / "results.csv"
    asked = ("--degradations", "noise:25,scratches:10,noise-float:25", "--limit", "1")
    assert evaluate(folder, out, *asked, "--methods", "baselines", "--metrics", "psnr") == 0
    measured = {
        (row["degradation"], row["method"], row["options"], row["weights"])
        for row in rows_of(out)
        if row["metric"] == "psnr"
    }
    assert measured == {
        *((kind, "input", "", "") for kind in ("noise", "scratches", "noise-float")),
        *((kind, "nlm", "sigma=0", "") for kind in ("noise", "noise-float")),
        *((kind, "tv", "sigma=0", "") for kind in ("noise", "noise-float")),
        ("scratches", "biharmonic", "", ""),
        *(("scratches", name, "radius=3", "") for name in ("telea", "navierstokes")),
    }
    evaluate(folder, out, *asked, "--methods", "biharmonic,nlm:sigma=25", "--metrics", "psnr")
    rows = [row for row in rows_of(out) if row["metric"] == "psnr"][len(measured) :]
    assert [(row["degradation"], row["method"], row["options"]) for row in rows] == [
        ("noise", "biharmonic", ""),
        ("noise", "nlm", "sigma=25"),
        ("scratches", "nlm", "sigma=25"),
        ("noise-float", "biharmonic", ""),
        ("noise-float", "nlm", "sigma=25"),
    ]
    summary = summarise(read_results(out))
    assert {"nlm", "nlm:sigma=25"} <= set(summary["label"])


def test_every_metric_on_photos_of_any_size(fakes, folder, tmp_path):
    Image.new("RGB", (1, 1), (90, 80, 70)).save(folder / "dot.png")
    out = tmp_path / "results.csv"
    asked = ("--degradations", "lowres:2,noise:25", "--methods", "input,vae", "--metrics", "all")
    assert evaluate(folder, out, *asked, "--seeds", "2") == 0
    before = out.read_text()
    rows = rows_of(out)
    of_lowres = {row["metric"] for row in rows if row["degradation"] == "lowres"}
    assert of_lowres == set(benchmark.metrics.METRICS)
    assert {row["metric"] for row in rows if row["degradation"] == "noise"} == of_lowres - {
        "psnr_y_sr"
    }
    undefined = {r["metric"] for r in rows if r["value"] == "nan" and r["image"] == "a.png"}
    assert undefined == {"ms_ssim", "niqe"}
    memory = [float(row["value"]) for row in rows if row["metric"] == "peak_memory"]
    assert all(0 <= value < 500 for value in memory if not math.isnan(value))
    assert evaluate(folder, out, *asked, "--seeds", "2") == 0
    assert out.read_text() == before


def test_published_figures_stand_below_ours_where_the_test_is_the_same(
    fakes, folder, tmp_path, capsys
):
    folder = folder.rename(folder.with_name("cbsd68"))
    asked = ("--methods", "input", "--metrics", "psnr")
    evaluate(folder, tmp_path / "1.csv", *asked, "--degradations", "noise:25,noise-float:20")
    assert "Published" not in capsys.readouterr().out
    evaluate(folder, tmp_path / "2.csv", *asked, "--degradations", "noise-float:25")
    text = capsys.readouterr().out
    below = text[text.index("Published by others, not measured here:") :].splitlines()
    assert any("cbsd68, noise-float:25  CDnCNN-B  psnr 31.23" in line for line in below)
    assert not any(":15" in line or "ssim" in line for line in below)


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
        (["--workers", "2", "--device", "cuda"], "CUDA"),
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


def test_public_sets_are_told_in_one_line_where_there_is_no_network(
    fakes, folder, tmp_path, capsys, monkeypatch
):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(SystemExit) as stop:
        evaluate("kodak24", tmp_path / "results.csv", "--methods", "input")
    assert stop.value.code == 2
    assert (
        "kodak24 could not be downloaded (no network); give a folder of its photos instead"
        in capsys.readouterr().err
    )


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


# --- Several processes -------------------------------------------------------------------------


def without_times(path):
    return [line for line in path.read_text().splitlines() if ",seconds," not in line]


COMMON = ("--degradations", "noise:25,dark,blur", "--methods", "baselines", "--metrics", "psnr")


def test_workers_write_what_one_process_writes(folder, tmp_path, capsys):
    (folder / "bad.png").write_bytes(b"no picture")
    assert main(["--data", str(folder), "--out", str(tmp_path / "1.csv"), *COMMON,
                 "--threads", "1"]) == 1  # fmt: skip
    assert main(["--data", str(folder), "--out", str(tmp_path / "2.csv"), *COMMON,
                 "--workers", "2"]) == 1  # fmt: skip
    assert capsys.readouterr().err.count("Skipped photos/bad.png") == 2
    assert without_times(tmp_path / "1.csv") == without_times(tmp_path / "2.csv")
    assert len(without_times(tmp_path / "2.csv")) == 1 + 3 * 9


def test_launched_processes_write_what_one_process_writes(folder, tmp_path):
    assert main(["--data", str(folder), "--out", str(tmp_path / "1.csv"), *COMMON,
                 "--threads", "1"]) == 0  # fmt: skip
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    command += ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    command += ["--dynamo_backend", "no", "--main_process_port", "0", "-m", "eval"]
    command += ["--data", str(folder), "--out", str(tmp_path / "2.csv"), *COMMON]
    launched = subprocess.run(
        command, capture_output=True, text=True, timeout=240,
        cwd=Path(__file__).parent.parent, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert launched.returncode == 0, launched.stderr[-2000:]
    assert without_times(tmp_path / "1.csv") == without_times(tmp_path / "2.csv")
    assert launched.stdout.count("photos, noise:25") == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_workers_leave_whole_rows_and_no_processes(folder, tmp_path, how):
    out = tmp_path / "results.csv"
    command = [sys.executable, "-m", "eval", "--data", str(folder), "--out", str(out)]
    command += ["--degradations", ",".join(f"noise:{sigma}" for sigma in range(1, 56))]
    command += ["--methods", "nlm", "--workers", "2"]
    started = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True,
        cwd=Path(__file__).parent.parent,
        # What runs in the background of a shell is deaf to SIGINT, and so would its children be.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (out.exists() and len(out.read_text().splitlines()) > 1):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    started.send_signal(how)
    _, stderr = started.communicate(timeout=60)
    assert started.returncode == 130, stderr
    assert "goes on with" in stderr
    assert out.read_text().endswith("\n")
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(started.pid, 0)
            time.sleep(0.1)


def test_a_signal_waits_until_rows_are_written(folder, tmp_path, monkeypatch, capsys):
    written = []

    def interrupted(self, run, values):
        signal.raise_signal(signal.SIGINT)
        written.append(run)

    monkeypatch.setattr(Results, "add", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert main(["--data", str(folder), "--out", str(tmp_path / "2.csv"), *COMMON,
                 "--workers", "2"]) == 130  # fmt: skip
    assert len(written) == 3  # the methods of the first photo and damage
    assert "goes on with" in capsys.readouterr().err
    assert not multiprocessing.active_children()
    assert signal.getsignal(signal.SIGINT) is before


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


def test_commit_is_known_or_says_so(monkeypatch, tmp_path):
    assert re.fullmatch("[0-9a-f]{12}(-dirty)?", benchmark.commit())
    asked = []

    def changed(command, **_):
        asked.append(command)
        return SimpleNamespace(stdout="abc\n" if "rev-parse" in command else " M eval/x.py\n")

    monkeypatch.setattr(benchmark.subprocess, "run", changed)
    assert benchmark.commit(LEADERBOARD) == "abc-dirty"
    assert ":(exclude)assets/leaderboard.csv" in asked[-1]
    benchmark.commit(tmp_path / "elsewhere.csv")
    assert asked[-1][-1] == "."
    monkeypatch.setattr(
        benchmark.subprocess, "run", lambda command, **_: SimpleNamespace(
            stdout="abc\n" if "rev-parse" in command else "")
    )  # fmt: skip
    assert benchmark.commit() == "abc"

    def no_git(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(benchmark.subprocess, "run", no_git)
    assert benchmark.commit() == "unknown"


def test_command_line_starts_without_the_page():
    code = "import sys, eval.benchmark; print('gradio' in sys.modules, 'plotly' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["False", "False"], result.stderr

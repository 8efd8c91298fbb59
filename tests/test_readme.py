"""The README says what is so: its numbers are the leaderboard's, its versions the pins'."""

import re

import pandas as pd
import pytest

from eval.readme import (
    BEGIN,
    END,
    LEADERBOARD,
    README,
    ROOT,
    all_results,
    card_markdown,
    results_markdown,
    rewritten,
    settings_markdown,
)
from eval.results import COLUMNS, read_results

STAMP = ("", "", "", "", 1)
TEXT = README.read_text(encoding="utf-8")


def rows(*values, photos=1):
    """Results of photos that differ by a dB: (degradation, method, options, metric, value)."""
    table = [
        ("set", str(i), degradation, severity, method, options, 0, metric, value + i, *STAMP)
        for degradation, severity, method, options, metric, value in values
        for i in range(photos)
    ]
    return pd.DataFrame(table, columns=list(COLUMNS))


def test_readme_and_model_cards_agree_with_the_leaderboard():
    results = all_results(read_results(LEADERBOARD))
    assert len(results) == 4
    for path, expected in results.items():
        text = path.read_text(encoding="utf-8")
        assert rewritten(text, expected) == text, path


def test_card_shows_one_model_beside_the_input():
    scores = (("vae", "", 29.0), ("gan", "realism=1", 28.0), ("input", "", 20.0))
    table = rows(*(("noise", 25.0, name, options, "psnr", v) for name, options, v in scores))
    table = pd.concat([table, rows(("noise", 25.0, "vae", "", "colour_shift", 0.375))])
    markdown = card_markdown("vae", table)
    assert "| VAE | **29.00** |" in markdown
    assert "| VAE | **0.38** |" in markdown.partition("Colour shift in levels of 255")[2]
    assert "Colour shift" not in results_markdown(table)
    assert "| Degraded input |" in markdown
    assert "GAN" not in markdown
    assert re.search(r"[\d,]+ batches, [\d,]+ crops, [\d.]+ minutes on ", markdown)


def test_card_compares_a_models_settings_on_the_photos_they_share():
    measured = [
        ("noise", 25.0, "diffusion", "steps=16", "psnr", 27.0),
        ("noise", 25.0, "diffusion", "steps=1", "psnr", 29.0),
        ("noise", 25.0, "diffusion", "steps=1", "niqe", 4.0),
        ("noise", 25.0, "diffusion", "steps=1", "mse", 99.0),
        ("blur", 1.6, "diffusion", "steps=1", "psnr", 11.0),
    ]
    table = pd.concat([rows(*measured, photos=3), rows(measured[1]).assign(image="alone")])
    (shown,) = settings_markdown(table)
    assert "Noise 25" in shown
    lines = [line for line in shown.splitlines() if line.startswith("|")]
    assert lines[0] == "|  | PSNR |"  # the only metric that both settings have
    assert lines[2:] == ["| steps=1 | 30.00 |", "| steps=16 | 28.00 |", "| *photos* | 3 |"]
    assert settings_markdown(rows(("noise", 25.0, "vae", "", "psnr", 29.0))) == []


def test_other_options_and_other_datasets_stay_on_the_leaderboard():
    table = rows(
        ("noise", 25.0, "diffusion", "steps=1", "psnr", 29.0),
        ("noise", 25.0, "diffusion", "steps=8", "psnr", 27.0),
    )
    other = table.assign(dataset="other", value=11.0)
    markdown = results_markdown(pd.concat([table, other]))
    assert "29.00" in markdown
    assert "27.00" not in markdown
    assert "11.00" not in markdown


def test_table_shows_means_and_intervals_and_marks_the_best_and_the_tied():
    markdown = results_markdown(
        rows(
            ("noise", 25.0, "input", "", "psnr", 20.123),
            ("noise", 25.0, "vae", "", "psnr", 29.456),
            ("noise", 25.0, "diffusion", "steps=1", "psnr", 29.456),
            ("noise", 25.0, "gan", "realism=1", "psnr", 28.0),
            ("noise", 25.0, "vae", "", "mse", 70.0),
            photos=9,
        )
    )
    assert "| Degraded input | 24.12 ± 1.6" in markdown
    assert "| VAE | **33.46 ± 1.6" in markdown
    assert "| Diffusion | **33.46 ± 1.6" in markdown
    assert "| GAN | 32.00 ± 1.6" in markdown
    assert "| noise 25 |" in markdown
    assert "| *photos* | 9 |" in markdown
    assert "MSE" not in markdown


def test_models_stand_below_whatever_order_they_were_measured_in():
    measured = [("noise", 25.0, name, "", "psnr", 20.0) for name in ("vae", "input", "gan", "nlm")]
    labels = [
        line.split(" | ")[0]
        for line in results_markdown(rows(*measured)).splitlines()
        if line.startswith("| ")
    ]
    assert labels[2:] == ["| Degraded input", "| Non-local means", "| VAE", "| GAN", "| *photos*"]


def test_one_photo_has_no_interval_and_no_winner():
    markdown = results_markdown(
        rows(
            ("noise", 25.0, "vae", "", "psnr", 29.456), ("noise", 25.0, "gan", "", "psnr", 20.0)
        )
    )  # fmt: skip
    assert "| VAE | **29.46** |" in markdown
    assert "**20.00** |" in markdown


def test_of_several_severities_the_middle_one_is_shown():
    markdown = results_markdown(
        rows(
            ("noise", 15.0, "vae", "", "psnr", 33.0),
            ("noise", 25.0, "vae", "", "psnr", 29.0),
            ("jpeg", 10.0, "vae", "", "psnr", 25.0),
            ("jpeg", 40.0, "vae", "", "psnr", 31.0),
            ("jpeg", 40.0, "unknown", "", "psnr", 31.0),
        )
    )
    assert "|  | noise 25 | jpeg 10 | jpeg 40 |" in markdown
    assert "| unknown | – | – | **31.00** |" in markdown


def test_a_readme_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="Expected <!--"):
        rewritten(TEXT.replace(END, ""), "results")
    assert BEGIN in TEXT


def test_front_matter_pins_the_gradio_that_is_installed():
    (pinned,) = re.findall(r"^gradio==(\S+)$", (ROOT / "requirements.txt").read_text(), re.M)
    (stated,) = re.findall(r"^sdk_version: (\S+)$", TEXT, re.M)
    assert stated == pinned


def test_front_matter_has_what_a_space_needs():
    _, matter, _ = TEXT.split("---\n", 2)
    keys = dict(line.split(": ", 1) for line in matter.splitlines() if ": " in line)
    needed = {"title", "emoji", "sdk", "sdk_version", "python_version", "app_file", "license"}
    assert needed | {"short_description", "thumbnail"} <= set(keys)
    assert "\ntags:\n  - " in matter
    assert keys["sdk"] == "gradio"
    assert (ROOT / keys["app_file"]).is_file()
    assert (ROOT / keys["thumbnail"]).is_file()
    assert len(keys["short_description"]) <= 60  # what a Space shows


def test_continuous_integration_runs_the_readmes_test_command():
    (command,) = re.findall(r"^pip install -r requirements-dev.txt && (.*)$", TEXT, re.M)
    assert command in (ROOT / ".ci" / "run").read_text()

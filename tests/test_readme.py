"""The README says what is so: its numbers are the leaderboard's, its versions the pins'."""

import re
from pathlib import Path

import pandas as pd
import pytest

from eval.readme import BEGIN, END, LEADERBOARD, README, results_markdown, rewritten
from eval.results import COLUMNS, read_results

ROOT = Path(__file__).parent.parent
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


def test_readme_and_leaderboard_agree():
    assert rewritten(TEXT, read_results(LEADERBOARD)) == TEXT


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
        rewritten(TEXT.replace(END, ""), rows(("noise", 25.0, "input", "", "psnr", 20.0)))
    assert BEGIN in TEXT


def test_front_matter_pins_the_gradio_that_is_installed():
    (pinned,) = re.findall(r"^gradio==(\S+)$", (ROOT / "requirements.txt").read_text(), re.M)
    (stated,) = re.findall(r"^sdk_version: (\S+)$", TEXT, re.M)
    assert stated == pinned


def test_continuous_integration_runs_the_readmes_test_command():
    (command,) = re.findall(r"^pip install -r requirements-dev.txt && (.*)$", TEXT, re.M)
    assert command in (ROOT / ".ci" / "run").read_text()

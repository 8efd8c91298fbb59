"""The README says what is so: its numbers are the leaderboard's, its versions the pins'."""

import re
from pathlib import Path

import pandas as pd
import pytest

from eval.readme import BEGIN, END, LEADERBOARD, README, results_markdown, rewritten
from eval.results import COLUMNS, read_results

ROOT = Path(__file__).parent.parent
TEXT = README.read_text(encoding="utf-8")


def rows(*values):
    """Results of one photo: (degradation, method, options, metric, value)."""
    table = [
        ("set", "photo", degradation, 25.0, method, options, 0, metric, value, "", "", "", "", 1)
        for degradation, method, options, metric, value in values
    ]
    return pd.DataFrame(table, columns=list(COLUMNS))


def test_readme_and_leaderboard_agree():
    assert rewritten(TEXT, read_results(LEADERBOARD)) == TEXT


def test_table_shows_means_and_marks_the_best():
    markdown = results_markdown(
        rows(
            ("noise", "input", "", "psnr", 20.123),
            ("noise", "vae", "", "psnr", 29.456),
            ("noise", "diffusion", "steps=1", "psnr", 28.0),
            ("noise", "vae", "", "mse", 70.0),
        )
    )
    assert "| Degraded input | 20.12 |" in markdown
    assert "| VAE | **29.46** |" in markdown
    assert "| noise 25 |" in markdown
    assert "| *photos* | 1 |" in markdown
    assert "70" not in markdown


def test_a_readme_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="Expected <!--"):
        rewritten(TEXT.replace(END, ""), rows(("noise", "input", "", "psnr", 20.0)))
    assert BEGIN in TEXT


def test_front_matter_pins_the_gradio_that_is_installed():
    (pinned,) = re.findall(r"^gradio==(\S+)$", (ROOT / "requirements.txt").read_text(), re.M)
    (stated,) = re.findall(r"^sdk_version: (\S+)$", TEXT, re.M)
    assert stated == pinned


def test_continuous_integration_runs_the_readmes_test_command():
    (command,) = re.findall(r"^pip install -r requirements-dev.txt && (.*)$", TEXT, re.M)
    assert command in (ROOT / ".ci" / "run").read_text()

"""Bundles, links, what the API tab says, and what visitors can reach."""

import csv
import io
import json
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import parse_qsl

import gradio_client
import pytest
from fakes import fake_enhancers
from PIL import Image

from enhancers.degradations import DEGRADATIONS
from ui import LAUNCH, build_demo, examples, first, job, limits, link, result, scripts
from ui.bundle import METRICS, SETTINGS
from ui.history import entry_of, share_html, shown_files, thumbnail
from ui.job import DAMAGE, DEGRADED
from ui.link import Settings
from ui.runner import Runner
from ui.viewer import SHOWN
from ui.watch import TRUTH, watch

WHOLE = Settings(
    "astronaut", DAMAGE, "lowres", 2.5, 7, 11, {"diffusion.steps": 4, "gan.realism": 0.25}
)


@pytest.fixture
def panels(photo, tmp_path):
    """What the viewer shows after a run."""
    task = job.prepare(photo, DAMAGE, "noise", 40, 6)
    options = {"diffusion": {"steps": 3}}
    shown = {}
    for view in watch(Runner(fake_enhancers()), task, 5, options, tmp_path):
        shown |= view.panels
    return list(shown.values())


# Links


def test_a_link_tells_all_that_went_into_it():
    noughts = Settings(None, None, "noise", 0, 0, 0, {"gan.realism": 0})
    for settings in (WHOLE, noughts):
        values = dict(parse_qsl(link.query(settings)))
        assert link.parse(values, fake_enhancers()) == settings
    assert link.parse({}, fake_enhancers()) == Settings()
    assert link.parse({"__theme": "dark", "x": "1"}, fake_enhancers()) == Settings()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("photo=passwd", "There is no example 'passwd'; there are first, astronaut,"),
        ("how=clean", "this link says 'clean'"),
        ("degradation=rust", "There is no degradation 'rust'"),
        ("degradation=noise&severity=99", "goes from 0 to 55, but got 99"),
        ("degradation=noise&severity=nan", "but got nan"),
        ("degradation=noise&severity=much", "severity must be a number, but this link says 'much'"),
        ("seed=-1", "A seed is a whole number"),
        ("damage_seed=0.5", "A seed is a whole number"),
        ("seed=inf", "A seed is a whole number"),
        ("diffusion.steps=99", "steps must lie between 1 and 16"),
    ],
)
def test_a_wrong_link_ends_in_one_sentence(address, sentence):
    with pytest.raises(ValueError, match=sentence):
        link.parse(dict(parse_qsl(address)), fake_enhancers())


def test_only_the_pages_own_photos_are_in_links(photo, tmp_path):
    assert link.name_of(first.photo()) == "first"
    assert link.name_of(examples.path(examples.EXAMPLES[2])) == "coffee"
    mine = tmp_path / "coffee.png"  # its name alone does not make it theirs
    mine.write_bytes(photo.read_bytes())
    assert link.name_of(str(mine)) is None


# What a result tells of itself


def test_a_run_is_remembered_with_its_settings(panels, photo):
    entry = entry_of(panels, "<table>", str(photo))
    options = {"gan.realism": 1, "diffusion.steps": 3}
    assert {name: entry.settings.options[name] for name in options} == options
    assert entry.settings.seed == 5
    assert entry.settings.photo is None
    recipe = (entry.settings.how, entry.settings.degradation, entry.settings.severity)
    assert recipe == (DAMAGE, "noise", 40)
    assert entry.settings.damage_seed == 6
    with Image.open(shown_files(entry.panels)["diffusion"]) as diffusion:  # small enough as it is
        assert thumbnail(entry).tobytes() == diffusion.convert("RGB").tobytes()
    assert "without the photo" in share_html(entry.settings)
    assert 'href="?how=damage&amp;degradation=noise' in share_html(entry.settings)
    assert "without" not in share_html(WHOLE)


def test_a_bundle_measures_the_very_files_it_holds(panels, photo, tmp_path):
    files = shown_files(panels)
    truth = files.pop(TRUTH)
    result.pack(files, truth, tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read(METRICS).decode())))
        settings = json.loads(archive.read(SETTINGS))
        for row in rows:
            assert archive.read(row["file"])
    clean = job.prepare(photo, DAMAGE, "noise", 40, 6)
    for row, (name, file) in zip(rows, files.items(), strict=False):
        picture = job.prepare(file, DEGRADED).degraded
        assert row["method"] == Image.open(file).text.get("method", "input")
        assert float(row["psnr"]) == pytest.approx(job.scores(picture, clean)["psnr"]), name
    assert rows[-1]["file"] == result.TRUTH_FILE
    assert settings["recipe"]["severity"] == 40
    assert settings["methods"]["diffusion"]["weights_sha256"] == "sha-of-diffusion"
    assert settings["methods"]["diffusion"]["options"] == {"steps": 3}
    assert settings["versions"]["python"]


def test_a_bundle_of_lost_files_is_a_sentence(panels, tmp_path):
    files = shown_files(panels)
    Path(files["vae"]).unlink()
    with pytest.raises(ValueError, match="no longer on the server"):
        result.pack(files, None, tmp_path / "all.zip")
    assert all(panel.state == SHOWN for panel in panels if panel.key in files)


# What the page says of itself


def test_api_tab_has_every_damage_option_and_limit():
    runner = Runner(fake_enhancers())
    text = scripts.text(runner, mcp=False)
    for name, kind in DEGRADATIONS.items():
        assert f"| `{name}` | {kind.unit} | {kind.low:g} | {kind.high:g} |" in text
    assert "| `diffusion` | `steps` | 1 | 16 | 4 |" in text
    assert limits.sentence() in text
    assert "MCP" not in text
    assert "MCP server" in scripts.text(runner, mcp=True)


def test_limits_are_those_that_hold():
    demo = build_demo(fake_enhancers())
    assert demo._queue.max_size == limits.QUEUE
    assert demo.delete_cache == (limits.SWEEP, limits.KEPT)
    assert LAUNCH["max_file_size"] == f"{limits.MAX_FILE_MB}mb"
    assert LAUNCH["mcp_server"] == scripts.HAS_MCP


# What visitors can reach


def test_methods_endpoint_lists_options_and_limits(server):
    client = gradio_client.Client(server.url, verbose=False)
    told = client.predict(api_name="/methods")
    assert told["methods"]["diffusion"]["weights_sha256"] == "sha-of-diffusion"
    assert told["methods"]["diffusion"]["options"]["steps"]["high"] == 16
    assert told["degradations"]["noise"]["high"] == DEGRADATIONS["noise"].high
    assert told["limits"]["pixels"] == job.MAX_PIXELS


@pytest.mark.parametrize("path", ["/etc/passwd", __file__, "app.py", "../../etc/passwd"])
def test_no_file_of_the_server_can_be_fetched(server, path):
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{server.url}gradio_api/file={path}")
    assert error.value.code in (403, 404)


def test_no_file_of_the_server_can_be_named_as_a_photo(server, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    photo = {"path": str(tmp_path / "secret.png"), "meta": {"_type": "gradio.FileData"}}
    call = urllib.request.Request(
        f"{server.url}gradio_api/call/degrade",
        json.dumps({"data": [photo, "noise", 25, 0]}).encode(),
        {"Content-Type": "application/json"},
    )
    event = json.load(urllib.request.urlopen(call))["event_id"]
    answer = urllib.request.urlopen(f"{server.url}gradio_api/call/degrade/{event}").read().decode()
    assert "event: error" in answer
    assert ".png" not in answer


def test_a_file_that_is_too_large_is_refused(server):
    size = limits.MAX_FILE_MB * 1024 * 1024 + 1
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    call = urllib.request.Request(
        f"{server.url}gradio_api/upload",
        head + bytes(size) + b"\r\n--b--\r\n",
        {"Content-Type": "multipart/form-data; boundary=b"},
    )
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(call)
    assert error.value.code == 413

import csv
import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import TITLES, FakeEnhancer, fake_enhancers
from PIL import Image

from enhancers import images
from ui import batch, job
from ui.batch import Item, Order, restore_all, unpack
from ui.batch_tab import changes, results_table, summary
from ui.bundle import METRICS, SETTINGS, Bundle, Row, plain_stem
from ui.job import DAMAGE, DEGRADED
from ui.runner import Runner


def order(**changes) -> Order:
    settings = {
        "how": DEGRADED,
        "degradation": "noise",
        "severity": 25,
        "damage_seed": 0,
        "seed": 3,
        "methods": ["vae", "diffusion"],
        "options": {"diffusion": {"steps": 2}},
    }
    return Order(**settings | changes)


def run(items, folder, stopped=lambda: False, enhancers=None, **changes):
    """Restore, and return the last progress, the names in the zip, its csv and its settings."""
    steps = list(
        restore_all(Runner(enhancers or fake_enhancers()), items, order(**changes), folder, stopped)
    )
    with zipfile.ZipFile(folder / batch.ZIP) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read(METRICS).decode())))
        return steps[-1], archive.namelist(), rows, json.loads(archive.read(SETTINGS))


def zipped(path: Path, files: dict[str, bytes], **settings) -> str:
    with zipfile.ZipFile(path, "w", **settings) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return str(path)


# What comes in


def test_photos_and_zips_become_one_list(photo, tmp_path):
    content = photo.read_bytes()
    archive = zipped(
        tmp_path / "many.zip",
        {"a/one.png": content, "two.png": content, "a/": b"", "__MACOSX/._one.png": b"x"},
    )
    items = unpack([str(photo), archive], tmp_path / "out")
    assert [item.name for item in items] == ["slope.png", "one.png", "two.png"]
    assert all(item.path.read_bytes() == content for item in items)


def test_names_in_a_zip_lead_nowhere(photo, tmp_path):
    names = ["../../up.png", "/abs.png", "c:\\win\\back.png", "=cmd().png", "x" * 300 + ".png"]
    archive = zipped(tmp_path / "bad.zip", dict.fromkeys(names, photo.read_bytes()))
    folder = tmp_path / "deep" / "out"
    for item in unpack([archive], folder):
        assert item.path.resolve().is_relative_to(folder)
    assert not (tmp_path / "up.png").exists()
    assert plain_stem("a\\b/..") == "photo"


def test_a_file_that_is_no_zip_is_named_and_the_rest_goes_on(photo, tmp_path):
    (tmp_path / "no.zip").write_bytes(b"not at all")
    empty = zipped(tmp_path / "empty.zip", {"folder/": b""})
    bad, nothing, good = unpack([str(tmp_path / "no.zip"), empty, str(photo)], tmp_path / "out")
    assert bad.problem == "no.zip is not a zip file, or is damaged; pack it again."
    assert nothing.problem == "empty.zip holds no files; pack photos into it."
    assert good.path == photo


def test_broken_and_encrypted_entries_are_named(photo, tmp_path):
    content = photo.read_bytes()
    path = Path(zipped(tmp_path / "z.zip", {"one.png": content, "two.png": content}))
    data = bytearray(path.read_bytes())
    data[data.index(content) + 40] ^= 255  # the first one's checksum no longer fits
    last = data.rindex(b"PK\x01\x02")
    data[last + 8] |= 1  # the second one says it is encrypted
    path.write_bytes(data)
    one, two = unpack([str(path)], tmp_path / "out")
    assert one.problem == "one.png is damaged in the zip file; pack it again."
    assert two.problem == "two.png is encrypted; pack it without a password."


def test_a_bomb_is_refused_by_its_header(tmp_path):
    zeros = zipped(tmp_path / "bomb.zip", {"a.png": bytes(8 << 20)}, compression=8)
    data = bytearray(Path(zeros).read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", batch.MAX_UNPACKED + 1)
    Path(zeros).write_bytes(data)
    with pytest.raises(ValueError, match="may hold up to 537 MB unpacked, but these hold 537 MB"):
        unpack([zeros], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_entry_gets_no_larger_than_its_header_says(tmp_path):
    liar = zipped(tmp_path / "liar.zip", {"a.png": bytes(8 << 20)}, compression=8)
    data = bytearray(Path(liar).read_bytes())
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = data.rindex(mark)
        data[at + offset : at + offset + 4] = struct.pack("<I", 1000)
    Path(liar).write_bytes(data)
    (item,) = unpack([liar], tmp_path / "out")
    assert item.problem == "a.png is damaged in the zip file; pack it again."
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in written) <= 1000


def test_too_many_entries_or_photos_are_refused(photo, tmp_path, monkeypatch):
    archive = zipped(tmp_path / "z.zip", {f"{i}.png": b"" for i in range(5)})
    monkeypatch.setattr(batch, "MAX_PHOTOS", 5)
    assert len(unpack([archive], tmp_path / "fits")) == 5
    with pytest.raises(ValueError, match="up to 5 photos, but this one has 6"):
        unpack([archive, str(photo)], tmp_path / "out")
    monkeypatch.setattr(batch, "MAX_ENTRIES", 4)
    with pytest.raises(ValueError, match=r"up to 4 entries, but z\.zip has more"):
        unpack([archive], tmp_path / "out")
    with pytest.raises(ValueError, match="Choose photos first"):
        unpack([], tmp_path / "out")


# What comes out


def test_zip_holds_pictures_scores_and_settings(photo, tmp_path):
    fakes = fake_enhancers()
    items = [Item("slope.png", photo), Item("SLOPE.jpg", photo)]
    done, names, rows, settings = run(items, tmp_path, enhancers=fakes, how=DAMAGE)
    assert done.done and done.fraction == 1
    methods = ("input", "vae", "diffusion")
    pictures = [f"{stem}.{m}.png" for stem in ("slope", "SLOPE-2") for m in methods]
    assert sorted(names) == sorted([*pictures, METRICS, SETTINGS])
    assert [path.name for path in tmp_path.iterdir()] == [batch.ZIP]  # nothing is left behind

    task = job.prepare(photo, DAMAGE, "noise", 25)
    restored = fakes[2].restore(task.degraded, seed=3, steps=2)
    with zipfile.ZipFile(tmp_path / batch.ZIP) as archive:
        archive.extract("slope.diffusion.png", tmp_path)
    picture = Image.open(tmp_path / "slope.diffusion.png")
    assert np.array_equal(np.asarray(picture), images.to_uint8(restored))
    assert json.loads(picture.text["options"]) == {"steps": 2}
    by_file = {row["file"]: row for row in rows}
    assert list(by_file) == [row.file for row in done.rows]
    scores = job.scores(restored, task)
    row = by_file["slope.diffusion.png"]
    assert float(row["psnr"]) == pytest.approx(scores["psnr"])
    assert (row["photo"], row["width"], row["height"]) == ("slope.png", "96", "64")
    assert settings["seed"] == 3
    assert settings["recipe"]["degradation"] == "noise"
    assert settings["methods"]["diffusion"] == {
        "options": {"steps": 2},
        "weights_sha256": "sha-of-diffusion",
    }
    assert settings["versions"]["torch"] == torch.__version__


def test_one_bad_file_does_not_spoil_the_rest(photo, tmp_path):
    (tmp_path / "in").mkdir()
    bad = tmp_path / "in" / "bad.png"
    bad.write_text("no picture")
    items = [Item("bad.png", bad), Item("gone", problem="gone is lost."), Item("slope.png", photo)]
    folder = tmp_path / "out"
    folder.mkdir()
    done, names, rows, _ = run(items, folder)
    assert sorted(names)[2:] == ["slope.diffusion.png", "slope.vae.png"]
    assert rows[0]["problem"].startswith("bad.png is not a picture")
    assert rows[1]["problem"] == "gone is lost."
    assert rows[2]["psnr"] == ""  # no truth, no score
    assert "Done: 1 restored, 2 not" in summary(done.rows)


def test_photos_beyond_the_pixel_budget_are_named(photo, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "MAX_PIXELS", 96 * 64)
    _, names, rows, _ = run([Item("one.png", photo), Item("two.png", photo)], tmp_path)
    assert "one.vae.png" in names and "two.vae.png" not in names
    assert "two.png goes beyond" in rows[-1]["problem"]


def test_stop_keeps_what_is_finished(photo, tmp_path):
    fake = FakeEnhancer("diffusion", 0.9, seconds=0.1, steps=16)
    vae = FakeEnhancer("vae", 0.5, steps=1)
    items = [Item("one.png", photo), Item("two.png", photo)]
    _, names, rows, _ = run(
        items, tmp_path, stopped=lambda: fake.begun > 2, enhancers=[vae, fake], options={}
    )
    assert fake.begun < 10
    assert names == ["one.vae.png", METRICS, SETTINGS]
    assert [row["problem"] for row in rows] == ["", batch.STOPPED, batch.STOPPED]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"methods": []}, "Choose at least one method"),
        ({"methods": ["cnn"]}, "There is no method 'cnn'; there are vae, gan, diffusion"),
        ({"seed": -1}, "A seed is a whole number"),
        ({"how": DAMAGE, "severity": 99}, "goes from 0 to 55, but got 99"),
        ({"how": DAMAGE, "damage_seed": 1.5}, "A seed is a whole number"),
    ],
)
def test_wrong_settings_end_before_any_work(photo, tmp_path, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        run([Item("slope.png", photo)], tmp_path, **changes)
    assert not (tmp_path / batch.ZIP).exists()


def test_spreadsheets_run_nothing_that_a_name_holds(tmp_path):
    with Bundle(tmp_path / "z.zip") as bundle:
        bundle.add(Row("=HYPERLINK(1).png", problem="+1"))
    with zipfile.ZipFile(tmp_path / "z.zip") as archive:
        assert "\n'=HYPERLINK(1).png," in archive.read(METRICS).decode()


# What the tab says


def test_names_of_files_are_no_markup(photo, tmp_path):
    steps = restore_all(
        Runner(fake_enhancers()), [Item("<b>.png", problem="<i>")], order(), tmp_path, lambda: False
    )
    shown = list(changes(steps, TITLES))
    assert "&lt;b&gt;" in shown[-1].table and "<i>" not in shown[-1].table
    assert shown[-1].done
    rows = [Row("a.png", "a.vae.png", "vae", 1, 1, 31.25, "", 4.0, 1.26)]
    assert results_table(rows, TITLES).count("<td>–</td>") == 1
    assert ">VAE<" in results_table(rows, TITLES)

"""Only what can be told without a clock: shapes, columns, the order of runs."""

import csv
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import pytest
import torch

import enhancers
from enhancers.base import Enhancer, Option, Spec
from eval import speed
from eval.benchmark import Method
from eval.speed import COLUMNS, Row, fastest, main

OPTIONS = {
    "vae": (),
    "gan": (),
    "diffusion": (Option("steps", 1, 50, 8, "Number of steps.", integer=True),),
}


class Fake(Enhancer):
    device = torch.device("cpu")

    def __init__(self, name):
        self.spec = Spec(name, name.upper(), 1, "0" * 64, options=OPTIONS[name])

    def _restore(self, degraded, mask, generator, on_step, **options):
        return degraded


@pytest.fixture
def fakes(monkeypatch):
    monkeypatch.setattr(enhancers, "NAMES", tuple(OPTIONS), raising=False)
    monkeypatch.setattr(enhancers, "OPTIONS", OPTIONS, raising=False)
    monkeypatch.setattr(enhancers, "load", lambda name, device="cpu": Fake(name), raising=False)


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def convolutions(network):
    return [layer for layer in network if isinstance(layer, torch.nn.Conv2d)]


def test_ffdnet_shape():
    network = speed.ffdnet_shape()
    assert len(convolutions(network)) == 12
    first, middle, last = 13 * 96 * 9 + 96, 96 * 96 * 9 + 96, 96 * 12 * 9 + 12
    assert parameters(network) == first + 10 * middle + last == 852_108
    assert network(torch.rand(1, 3, 10, 14)).shape == (1, 3, 10, 14)
    half = network[:-1](torch.rand(1, 3, 10, 14))
    assert half.shape == (1, 12, 5, 7)  # its convolutions run at half resolution


def test_dncnn_shape():
    network = speed.dncnn_shape()
    assert len(convolutions(network)) == 20
    first, middle, last = 3 * 64 * 9 + 64, 64 * 64 * 9 + 64, 64 * 3 * 9 + 3
    assert parameters(network) == first + 18 * middle + last == 668_227
    assert network(torch.rand(1, 3, 9, 7)).shape == (1, 3, 9, 7)


def test_yardsticks_run_the_fastest_way():
    seen = []
    network = speed.ffdnet_shape()
    for layer in convolutions(network):
        layer.register_forward_hook(lambda layer, x, y: seen.append((layer.weight, y)))
    output = fastest(network)(torch.rand(1, 3, 16, 16))
    assert output.dtype == torch.float32
    assert len(seen) == 12
    for weight, y in seen:
        assert weight.is_contiguous(memory_format=torch.channels_last)
        assert y.is_contiguous(memory_format=torch.channels_last)
        assert y.is_inference()
        assert str(y.dtype) == f"torch.{speed.dtype()}"


def test_repeats_take_turns_after_a_warm_up():
    calls = []
    runs = {Method(name): lambda photo, name=name: calls.append(name) for name in "abc"}
    seconds = speed.measure_times(runs, torch.zeros(1, 3, 2, 2), repeats=2)
    assert calls == list("abcabcabc")
    assert {method.name: len(times) for method, times in seconds.items()} == dict.fromkeys("abc", 2)


def test_ratio_is_that_of_the_medians():
    seconds = {Method("ffdnet-shape"): [2.0, 1.0, 9.0], Method("vae"): [1.0, 0.5, 7.0]}
    yardstick, vae = speed.time_rows(seconds, "512x512", 2)
    assert (yardstick.median_s, yardstick.min_s, yardstick.ratio_to_ffdnet_shape) == (2, 1, 1)
    assert (vae.median_s, vae.min_s, vae.ratio_to_ffdnet_shape) == (1, 0.5, 0.5)


def test_file_has_a_row_per_contender(fakes, tmp_path, capsys):
    out = tmp_path / "new" / "speed.csv"
    threads = torch.get_num_threads()
    extra = ["--size", "16", "--repeats", "2", "--threads", str(threads)]
    assert main(["--out", str(out), *extra]) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS == tuple(field.name for field in fields(Row))
    assert COLUMNS[:7] == (
        "method",
        "options",
        "size",
        "threads",
        "median_s",
        "min_s",
        "ratio_to_ffdnet_shape",
    )
    assert [(row["method"], row["options"]) for row in rows] == [
        ("ffdnet-shape", ""),
        ("dncnn-shape", ""),
        ("vae", ""),
        ("gan", ""),
        ("diffusion", "steps=8"),
        ("diffusion", "steps=1"),
    ]
    for row in rows:
        assert row["size"] == "16x16"
        assert row["threads"] == str(threads)
        assert 0 <= float(row["min_s"]) <= float(row["median_s"])
        assert math.isfinite(float(row["ratio_to_ffdnet_shape"]))
        assert row["peak_rss_mb"] == ""
        assert row["commit"] and row["torch"] and row["cpu"]
        assert row["dtype"] in ("float32", "bfloat16")
    assert float(rows[0]["ratio_to_ffdnet_shape"]) == 1
    assert "ffdnet-shape" in capsys.readouterr().out


def test_unknown_method_is_refused(fakes, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--out", str(tmp_path / "speed.csv"), "--methods", "bm3d"])
    assert stop.value.code == 2
    assert "No method is called 'bm3d'" in capsys.readouterr().err


def test_photo_has_the_size_asked_for():
    photo = speed.sample_photo(30, 20)
    assert photo.shape == (1, 3, 20, 30)
    assert photo.min() >= 0
    assert photo.max() <= 1
    assert photo.std() > 0.05


def test_memory_is_measured_in_fresh_processes(fakes, monkeypatch):
    commands = []

    def run(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, stdout="123.4\n", stderr="")

    monkeypatch.setattr(speed, "commit", lambda: "abc")
    speed._stamp.cache_clear()
    speed._stamp()
    monkeypatch.setattr(speed.subprocess, "run", run)
    methods = speed.parse_methods("vae,diffusion:steps=1")
    rows = speed.memory_rows(methods, ["8x8", "16x8"], threads=2)
    speed._stamp.cache_clear()
    assert [(row.method, row.size, row.peak_rss_mb) for row in rows] == [
        (method, size, 123) for size in ("8x8", "16x8") for method in ("vae", "diffusion", "all")
    ]
    assert [command[command.index("--child") + 1] for command in commands[:3]] == [
        "vae",
        "diffusion:steps=1",
        "vae,diffusion:steps=1",
    ]
    assert all(row.median_s == "" for row in rows)


def test_failing_process_is_told(fakes, monkeypatch):
    def run(command, **_):
        return subprocess.CompletedProcess(command, 1, stdout="", stderr="...\nOut of memory.\n")

    monkeypatch.setattr(speed.subprocess, "run", run)
    with pytest.raises(RuntimeError, match=r"Restoring 8x8 with vae failed: Out of memory\."):
        speed.memory_rows([Method("vae")], ["8x8"], threads=1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_is_this_process_alone():
    ballast = torch.ones(64 << 20, dtype=torch.uint8)
    ours = speed.peak_rss_mb()
    assert ours > 64
    code = "import sys; sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    try:
        assert 0 < speed.peak_rss_mb(child.pid) < ours / 2
    finally:
        child.communicate(b"")
    del ballast


def test_start_of_the_page_is_waited_for(tmp_path, monkeypatch):
    (tmp_path / "app.py").write_text(
        "import http.server, os, time\n"
        "time.sleep(0.3)\n"
        "address = os.environ['GRADIO_SERVER_NAME'], int(os.environ['GRADIO_SERVER_PORT'])\n"
        "http.server.HTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()\n"
    )
    monkeypatch.setattr(speed, "ROOT", tmp_path)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # answers nobody
    (row,) = speed.app_rows(threads=2, sizes=[])
    assert (row.method, row.options) == ("app", "first page")
    assert row.median_s >= 0.3
    assert row.peak_rss_mb > 0


@pytest.mark.browser
def test_first_visit_is_weighed_and_timed(tmp_path, monkeypatch, browser):
    (tmp_path / "picture.bin").write_bytes(bytes(300_000))
    (tmp_path / "index.html").write_text(
        "<p>Words.</p><script>fetch('picture.bin').then((it) => it.blob()).then(() =>"
        " setTimeout(() => { document.body.innerHTML += '<div id=viewer>"
        "<b data-key=input data-state=shown>x</b></div>' }, 500))</script>"
    )
    (tmp_path / "app.py").write_text(
        "import http.server, os\n"
        "address = os.environ['GRADIO_SERVER_NAME'], int(os.environ['GRADIO_SERVER_PORT'])\n"
        "handler = http.server.SimpleHTTPRequestHandler\n"
        "http.server.ThreadingHTTPServer(address, handler).serve_forever()\n"
    )
    monkeypatch.setattr(speed, "ROOT", tmp_path)
    with ThreadPoolExecutor(1) as elsewhere:  # a thread has room for one Playwright only
        paint, pictures = elsewhere.submit(speed.paint_rows, threads=1, repeats=2).result()
    assert (paint.options, pictures.options) == ("first paint", "all pictures")
    assert 0 < paint.min_s <= paint.median_s
    assert pictures.median_s >= paint.median_s + 0.3
    assert paint.page_mb == pictures.page_mb == pytest.approx(0.3, abs=0.01)


def test_without_a_browser_the_page_is_not_weighed(monkeypatch):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="No Chromium was found"):
        speed.paint_rows(threads=1, repeats=1)


def test_app_is_sent_photos_and_its_memory_noted(tmp_path, monkeypatch):
    (tmp_path / "app.py").write_text(
        "import gradio as gr\n"
        "held = []\n"
        "def enhance(photo):\n"
        "    held.append(b'x' * (100 << 20))\n"
        "    from PIL import Image\n"
        "    assert Image.open(photo).size == (48, 32)\n"
        "    return photo\n"
        "picture = gr.Image(type='filepath')\n"
        "gr.Interface(enhance, picture, picture, api_name='enhance').launch()\n"
    )
    monkeypatch.setattr(speed, "ROOT", tmp_path)
    page, first, second = speed.app_rows(threads=1, sizes=["48x32", "48x32"])
    assert (first.options, first.size) == ("enhance", "48x32")
    assert 0 < first.median_s < 30
    assert first.peak_rss_mb > page.peak_rss_mb + 90
    assert second.peak_rss_mb > first.peak_rss_mb + 90


def test_page_that_never_comes_is_told(tmp_path, monkeypatch):
    (tmp_path / "app.py").write_text("raise SystemExit('no weights here')\n")
    monkeypatch.setattr(speed, "ROOT", tmp_path)
    with pytest.raises(RuntimeError, match=r"app\.py does not answer: no weights here"):
        speed.app_rows(threads=2, sizes=[])

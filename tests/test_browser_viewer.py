"""The synchronised viewer in a real Chromium: on a page of its own, and on the whole page."""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from enhancers import classical, images
from eval.metrics import measure
from ui import LAUNCH, first, markup
from ui.viewer import FAILED, RUNNING, SHOWN, Panel, state, viewer

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = 91, 61
BLUE = {"input": 124, "truth": 100, "vae": 52, "gan": 255, "diffusion": 100}
"""Red and green of a pixel tell where it is; blue tells the picture, and so its error."""

READ = """([key, x, y, width, height]) => {
  const canvas = document.querySelector(`#viewer [data-key="${key}"] canvas`);
  const ratio = canvas.width / canvas.clientWidth;
  const [left, top] = [x, y].map((value) => Math.floor(value * ratio));
  return [...canvas.getContext("2d").getImageData(left, top, width, height).data];
}"""


class Viewer:
    """A person before the viewer."""

    def __init__(self, browser, url: str, width: int = 1280, height: int = 900, **settings):
        self.context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)
        self.page.wait_for_selector("#viewer [data-key=input][data-state=shown]")
        self.until(lambda: all(self.read(key, 0.5, 0.5)[3] for key in ("input", "truth")))

    def until(self, condition) -> None:
        """Wait until it holds; drawing takes a frame or two."""
        for _ in range(200):
            if condition():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError("waited in vain")

    def settle(self) -> None:
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def do(self, name: str) -> None:
        self.page.click(f"#viewer [data-do={name}]")
        self.settle()

    def press(self, key: str) -> None:
        self.page.focus("#viewer .stage")
        self.page.keyboard.press(key)
        self.settle()

    def box(self, key: str) -> dict[str, float]:
        return self.page.locator(f"#viewer [data-key={key}] canvas").bounding_box()

    def point(self, key: str, across: float, down: float) -> tuple[float, float]:
        box = self.box(key)
        return box["x"] + across * box["width"], box["y"] + down * box["height"]

    def read(self, key: str, across: float, down: float) -> list[int]:
        """RGBA at a place in a panel, 0-1 from its left and top."""
        box = self.box(key)
        return self.page.evaluate(READ, [key, across * box["width"], down * box["height"], 1, 1])

    def places(self, across: float = 0.5, down: float = 0.5) -> set[tuple[int, int]]:
        """The photo's pixels that the visible panels show there: one, if they are in step."""
        keys = [key for key in BLUE if self.page.locator(f"[data-key={key}] canvas").is_visible()]
        colours = [self.read(key, across, down) for key in keys]
        assert [colour[2] for colour in colours] == [BLUE[key] for key in keys]
        return {(red // 2, green // 3) for red, green, *_ in colours}

    def runs(self, key: str, count: int = 400, down: float = 0.5) -> set[int]:
        """How many screen pixels the pixels of the photo take, along a row; whole ones only."""
        box = self.box(key)
        pixels = self.page.evaluate(READ, [key, 0, down * box["height"], count, 1])
        rgba = np.array(pixels).reshape(-1, 4)
        red = rgba[rgba[:, 3] > 0, 0]
        edges = np.flatnonzero(np.diff(red))
        return set(np.diff(edges).tolist())

    def region(self) -> list[int]:
        inputs = self.page.locator("#viewer fieldset.region input")
        return [int(field.input_value()) for field in inputs.all()]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("viewer")
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for key, blue in BLUE.items():
        picture = np.stack([2 * x, 3 * y, np.full_like(x, blue)], -1).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{key}.png")
    return {key: str(folder / f"{key}.png") for key in BLUE}


@pytest.fixture(scope="module")
def bench(files) -> Iterator[str]:
    """A page with nothing but the viewer, and a button that lets the GAN begin anew."""
    titles = {"input": "Input", "vae": "VAE", "gan": "GAN", "diffusion": "Diffusion"}
    panels = [
        Panel("input", "Input", "91×61", SHOWN, files["input"]),
        Panel("truth", "Truth", "", SHOWN, files["truth"], truth=True),
        *(Panel(key, titles[key], "1.0 s", SHOWN, files[key]) for key in ("vae", "gan")),
        Panel("diffusion", "Diffusion", "1.0 s", SHOWN, files["diffusion"]),
        Panel("sharp", "<i>Sharp</i>", "failed: no <b>memory</b>", FAILED),
    ]
    running = [*panels[:3], Panel("gan", "GAN", "running 40%", RUNNING), *panels[4:]]
    with gr.Blocks() as demo:
        with viewer(panels, elem_id="viewer") as pictures:
            gr.HTML()
        gr.Button("Again", elem_id="again").click(lambda: state(running), None, pictures)
    _, url, _ = demo.launch(**LAUNCH, prevent_thread_lock=True, quiet=True)
    yield url
    demo.close(verbose=False)


@pytest.fixture
def look(browser, bench):
    """Open the viewer; afterwards nothing may have gone wrong in it."""
    opened = []

    def open_viewer(*size, url: str = bench, **settings) -> Viewer:
        opened.append(Viewer(browser, url, *size, **settings))
        return opened[-1]

    yield open_viewer
    for one in opened:
        one.context.close()
    assert [problem for one in opened for problem in one.problems] == []


def test_wheel_zooms_every_picture_about_the_pointer(look):
    person = look()
    assert person.places() == {(WIDTH // 2, HEIGHT // 2)}
    here = person.places(0.3, 0.4)
    assert len(here) == 1
    before = person.runs("gan")
    person.page.mouse.move(*person.point("vae", 0.3, 0.4))
    person.page.mouse.wheel(0, -500)
    person.settle()
    assert person.places(0.3, 0.4) == here
    assert len(person.places()) == 1 and person.places() != {(WIDTH // 2, HEIGHT // 2)}
    assert min(person.runs("gan")) > max(before)


def test_wheel_leaves_the_page_its_scrolling_where_nothing_can_be_zoomed_out(look):
    person = look(1280, 500)
    person.do("fit")
    person.page.mouse.move(*person.point("input", 0.5, 0.2))
    for _ in range(12):
        person.page.mouse.wheel(0, 100)
    person.until(lambda: person.page.evaluate("scrollY") > 50)


def test_drag_moves_every_picture(look):
    person = look()
    person.do("eight")
    ((x, y),) = person.places()
    person.page.mouse.move(*(at := person.point("truth", 0.5, 0.5)))
    person.page.mouse.down()
    person.page.mouse.move(at[0] - 80, at[1] + 40)
    person.page.mouse.up()
    person.settle()
    assert person.places() == {(x + 10, y - 5)}


def test_keyboard_zooms_and_moves(look):
    person = look()
    person.press("p")
    ((x, y),) = person.places()
    person.press("ArrowRight")
    person.press("ArrowUp")
    assert person.places() == {(x + 6, y - 6)}
    assert person.runs("vae") == {8}
    person.press("o")
    assert person.runs("vae") == {1}
    person.press("+")
    assert person.page.locator("#viewer .zoom").inner_text() == "150%"
    person.press("f")
    assert person.places() == {(WIDTH // 2, HEIGHT // 2)}


@pytest.mark.parametrize(("ratio", "pixels"), [(1, 1), (2, 2), (1.5, 2)])
def test_one_to_one_is_a_whole_number_of_screen_pixels(look, ratio, pixels):
    person = look(device_scale_factor=ratio)
    person.do("one")
    assert person.runs("gan", 1000) == {pixels}
    person.do("eight")
    assert person.runs("gan", 1000) == {8 * pixels}


def test_two_fingers_zoom(look):
    person = look(390, 844, has_touch=True, is_mobile=True)
    person.page.locator("#viewer .stage").scroll_into_view_if_needed()
    x, y = person.point("truth", 0.5, 0.5)
    before = min(person.runs("truth"))
    touch = person.context.new_cdp_session(person.page)
    for kind, apart in (("Start", 20), *(("Move", apart) for apart in range(22, 62, 4))):
        points = [{"x": x + sign * apart, "y": y, "id": sign + 1} for sign in (-1, 1)]
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    person.settle()
    assert max(person.runs("truth")) >= 2.5 * before
    assert len(person.places()) == 1
    assert person.page.evaluate("visualViewport.scale") == 1


def test_finger_scrolls_the_page_until_there_is_something_to_move(look):
    person = look(390, 844, has_touch=True, is_mobile=True)
    action = "getComputedStyle(document.querySelector('#viewer canvas')).touchAction"
    assert person.page.evaluate(action) == "pan-y"
    for something in ("loupe", "region", "eight"):
        person.do(something)
        assert person.page.evaluate(action) == "none"
        person.do("fit" if something == "eight" else something)
        assert person.page.evaluate(action) == "pan-y"


def test_numbers_flip_pictures_in_place(look):
    person = look()
    person.do("eight")
    person.do("in")
    person.do("in")
    person.press("ArrowLeft")
    here = person.places()
    small = person.box("vae")["width"]
    for number, key in enumerate(BLUE, 1):
        person.press(str(number))
        assert person.page.locator("#viewer figure:visible").count() == 1
        assert person.box(key)["width"] > 2 * small
        assert person.places() == here
        assert person.page.locator(f"[data-index='{number - 1}']").get_attribute(
            "aria-pressed"
        ) == "true"  # fmt: skip
    person.press("0")
    assert person.page.locator("#viewer figure:visible").count() == 6


def test_a_finger_flips_a_single_picture(look):
    person = look(390, 844, has_touch=True, is_mobile=True)
    person.page.tap("[data-index='2']")
    person.settle()
    x, y = person.point("vae", 0.7, 0.5)
    touch = person.context.new_cdp_session(person.page)
    for kind, moved in (("Start", 0), ("Move", 40), ("Move", 90), ("Move", 130)):
        points = [{"x": x - moved, "y": y}]
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    person.page.locator("#viewer [data-key=gan]").wait_for()
    assert not person.page.locator("#viewer [data-key=vae]").is_visible()


def test_wipe_has_one_picture_on_each_side_of_its_edge(look):
    person = look()
    person.press("w")
    person.page.select_option("#viewer .left", "vae")
    person.page.select_option("#viewer .right", "gan")
    person.settle()
    blues = [person.read("vae", across, 0.5)[2] for across in (0.4, 0.48, 0.52, 0.6)]
    assert blues == [52, 52, 255, 255]
    handle = person.page.locator("#viewer .handle")
    handle.focus()
    handle.press("ArrowLeft")
    person.settle()
    assert handle.get_attribute("aria-valuenow") == "48"
    assert person.read("vae", 0.49, 0.5)[2] == 255
    person.page.mouse.move(*person.point("vae", 0.48, 0.3))
    person.page.mouse.down()
    person.page.mouse.move(*person.point("vae", 0.7, 0.3))
    person.page.mouse.up()
    person.settle()
    assert [person.read("vae", across, 0.5)[2] for across in (0.6, 0.72)] == [52, 255]


def test_loupe_magnifies_the_same_spot_everywhere(look):
    person = look()
    person.do("eight")
    here = person.places(0.45, 0.55)
    person.do("loupe")
    person.page.mouse.move(*person.point("input", 0.45, 0.55))
    person.settle()
    assert person.places(0.45, 0.55) == here
    assert all(32 in person.runs(key, down=0.55) for key in BLUE)


@pytest.mark.parametrize(
    ("kind", "colours"),
    [
        ("absolute", {"input": "57106e", "vae": "bc3754", "gan": "fcffa4", "diffusion": "000004"}),
        ("signed", {"input": "e6aba2", "vae": "4393c3", "gan": "67001f", "diffusion": "f7f7f7"}),
    ],
)
def test_error_maps_have_the_colours_of_their_scale(look, kind, colours):
    person = look()
    person.page.select_option("#viewer .colours", kind)
    for key, colour in colours.items():
        expected = np.array([int(colour[i : i + 2], 16) for i in (0, 2, 4)])
        person.until(lambda key=key: person.read(key, 0.5, 0.5)[2] != BLUE[key])
        assert np.abs(np.array(person.read(key, 0.5, 0.5)[:3]) - expected).max() <= 2, key
    assert person.read("truth", 0.5, 0.5)[2] == BLUE["truth"]
    legend = person.page.locator("#viewer .legend").inner_text()
    assert "32 or more" in legend and "levels of 255" in legend
    assert ("−32 or less" in legend) == (kind == "signed")


def test_rectangle_covers_the_pixels_it_was_drawn_over(look):
    person = look()
    person.do("eight")
    ends = [(0.32, 0.3), (0.69, 0.6)]
    (left, top), (right, bottom) = (person.places(*end).pop() for end in ends)
    person.do("region")
    person.page.mouse.move(*person.point("gan", *ends[1]))
    person.page.mouse.down()
    person.page.mouse.move(*person.point("gan", *ends[0]))
    person.page.mouse.up()
    assert person.region() == [left, top, right - left + 1, bottom - top + 1]
    fields = person.page.locator("#viewer fieldset.region input")
    fields.nth(2).fill("5000")
    fields.nth(2).press("Enter")
    fields.nth(2).blur()
    assert person.region() == [left, top, WIDTH - left, bottom - top + 1]


def test_only_a_changed_panel_changes(look):
    person = look()
    person.do("eight")
    here = person.places()
    before = len(person.requests)
    frames = (
        "[...document.querySelectorAll('.panel')].map((e) => e.getBoundingClientRect().toJSON())"
    )
    places = person.page.evaluate(frames)
    person.page.click("#again")
    person.page.locator("#viewer [data-key=gan][aria-busy=true]", has_text="running 40%").wait_for()
    person.until(lambda: person.read("gan", 0.5, 0.5)[3] == 0)
    assert person.read("vae", 0.5, 0.5)[2] == BLUE["vae"]
    assert person.page.evaluate(frames) == places
    assert [url for url in person.requests[before:] if url.endswith(".png")] == []
    person.do("all")
    ((x, y),) = here
    assert person.read("vae", 0.5, 0.5)[:2] == [2 * x, 3 * y]


def test_names_and_reasons_are_text_and_everything_has_a_name(look):
    person = look()
    panel = person.page.locator("#viewer [data-key=sharp]")
    assert "failed: no <b>memory</b>" in panel.inner_text()
    assert "6 <i>Sharp</i>" in panel.inner_text()
    labels = [e.get_attribute("aria-label") for e in person.page.locator("#viewer canvas").all()]
    assert labels[:2] == ["Input: 91×61", "Truth"]
    controls = "#viewer button, #viewer select, #viewer input"
    nameless = f"""[...document.querySelectorAll('{controls}')].filter(
      (e) => !(e.ariaLabel || e.innerText.trim() || e.labels?.length)).length"""
    assert person.page.evaluate(nameless) == 0
    person.page.focus("#viewer [data-do=full]")
    person.page.keyboard.press("Tab")
    style = "getComputedStyle(document.activeElement)"
    assert person.page.evaluate("document.activeElement.className") == "stage"
    assert person.page.evaluate(f"{style}.outlineStyle + {style}.outlineWidth") == "solid3px"


def test_full_screen_and_back(look):
    person = look()
    small = person.page.locator("#viewer .stage").bounding_box()
    person.do("full")
    person.until(lambda: person.page.evaluate("document.fullscreenElement !== null"))
    person.until(
        lambda: person.page.locator("#viewer .stage").bounding_box()["height"] > small["height"]
    )
    assert len(person.places()) == 1
    person.do("full")
    person.until(lambda: person.page.evaluate("document.fullscreenElement === null"))


def test_phone_shows_two_columns_and_nothing_hangs_over_the_edge(look):
    person = look(390, 844, has_touch=True, is_mobile=True)
    assert person.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert len({round(person.box(key)["x"]) for key in BLUE}) == 2
    for mode in ("wipe", "region", "all"):
        person.do(mode)
        assert person.page.evaluate("document.documentElement.scrollWidth") <= 390


# On the whole page


def test_wide_screen_shows_all_in_one_row_without_cutting_them(look, server):
    person = look(1920, 1000, url=server.url)
    boxes = [person.page.locator(f"[data-key={key}]").bounding_box() for key in BLUE]
    assert len({round(box["y"]) for box in boxes}) == 1
    assert len({round(box["x"]) for box in boxes}) == len(boxes)
    assert 240 <= boxes[0]["height"] <= 0.68 * 1000


def test_input_and_results_stand_in_one_row_before_the_rest(look, server):
    person = look(1280, 900, url=server.url)
    keys = ("input", "vae", "gan", "diffusion", "truth", "classical")
    boxes = [person.page.locator(f"[data-key={key}]").bounding_box() for key in keys]
    assert [round(box["y"]) for box in boxes[:4]] == [round(boxes[0]["y"])] * 4
    assert [box["x"] for box in boxes[:4]] == sorted(box["x"] for box in boxes[:4])
    assert [round(box["x"]) for box in boxes[4:]] == [round(box["x"]) for box in boxes[:2]]
    assert boxes[4]["y"] >= boxes[0]["y"] + boxes[0]["height"]
    person.do("full")
    person.until(lambda: len({round(person.box(key)["x"]) for key in keys}) == 3)


def test_region_has_the_metrics_of_the_pictures_cut_out(look, server):
    person = look(url=server.url)
    page = person.page
    page.click("#restore")
    page.locator("#status").filter(has_text="Done in").wait_for()
    person.do("region")
    fields = page.locator("#viewer fieldset.region input")
    for index, value in enumerate((200, 90, 40, 30)):
        fields.nth(index).fill(str(value))
    page.keyboard.press("Tab")
    rows = page.locator("#region tbody tr")
    rows.nth(4).wait_for()

    task = first.task()
    pictures = {"Input": task.degraded} | {
        fake.spec.title: images.quantise(fake.restore(task.degraded))
        for fake in [*server.enhancers.values(), classical.load("tv")]
    }
    pictures["Classical"] = pictures.pop("Total variation")
    cut = (..., slice(90, 120), slice(200, 240))
    for row, (title, picture) in zip(rows.all(), pictures.items(), strict=True):
        name, *cells = row.locator("th, td").all_inner_texts()
        scores = measure(picture[cut], task.clean[cut])
        assert name == title
        for cell, (metric, value) in zip(cells, scores.items(), strict=True):
            assert cell.split()[0] == markup.number(metric, value)

    fields.nth(3).fill("8")
    page.keyboard.press("Tab")
    page.locator("#region", has_text="Too small for SSIM").wait_for()
    person.do("clear")
    page.locator("#region section").wait_for(state="detached")
    assert fields.first.input_value() == ""


def test_region_follows_a_change_of_the_photo_and_explains_what_it_lacks(look, server):
    person = look(url=server.url)
    person.page.keyboard.down("Shift")
    person.page.mouse.move(*person.point("input", 0.4, 0.4))
    person.page.mouse.down()
    person.page.mouse.move(*person.point("input", 0.6, 0.6))
    person.page.mouse.up()
    person.page.keyboard.up("Shift")
    person.page.locator("#region", has_text="Inside").wait_for()
    assert person.page.locator("#region tbody tr").count() == 1
    person.page.locator("#how input[value=degraded]").check()
    person.page.locator("#region", has_text="Quality cannot be scored here").wait_for()
    assert person.page.locator("#viewer [data-key=truth]").count() == 0
    assert person.page.locator("#viewer .colours").is_disabled()

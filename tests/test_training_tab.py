"""The training tab without a browser: who may train, on what, whose turn it is, what is said."""

import re

import pytest
import torch
from fakes import fake_enhancers
from PIL import Image

from enhancers.training import live
from ui import build_demo
from ui.inside import training
from ui.inside.exhibit import View
from ui.limits import TRAINING, may_train
from ui.line import Line

PHOTOS = [torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)]


def moment(steps: int, **losses: float) -> live.Moment:
    grey = torch.full((1, 3, 64, 64), 0.5)
    return live.Moment(
        seconds=2.0 * steps,
        fraction=steps / 4,
        steps=steps,
        losses=losses,
        clean=grey,
        degraded=grey + 0.1,
        mask=grey[:, :1] * 0,
        restored=grey + 0.02,
        psnr_db=33.98,
    )


def never() -> bool:
    return False


@pytest.fixture
def fakes():
    return {enhancer.spec.name: enhancer for enhancer in fake_enhancers()}


# Who may


@pytest.mark.parametrize(
    ("environment", "allowed"),
    [
        ({}, True),
        ({"GRADIO_SERVER_NAME": "127.0.0.1"}, True),
        ({"GRADIO_SERVER_NAME": "0.0.0.0"}, False),
        ({"GRADIO_SHARE": "True"}, False),
        ({"SPACE_ID": "someone/triptych"}, False),
        ({"SPACE_ID": "someone/triptych", TRAINING: "1"}, True),
        ({TRAINING: "0"}, False),
    ],
)
def test_training_is_off_where_others_visit_unless_it_is_switched_on(environment, allowed):
    assert may_train(environment) == allowed


@pytest.mark.parametrize("allowed", [True, False])
def test_where_it_is_off_nothing_of_it_can_be_called(monkeypatch, fakes, allowed):
    monkeypatch.setenv(TRAINING, str(int(allowed)))
    demo = build_demo(list(fakes.values()))
    found = [fn for fn in demo.fns.values() if fn.concurrency_id == "training"]
    assert len(found) == allowed
    assert all(fn.api_visibility == "private" and fn.concurrency_limit == 8 for fn in found)
    said = [b.value for b in demo.blocks.values() if b.elem_id == "training-off"]
    assert said == ([] if allowed else [training.OFF])
    assert f"{TRAINING}=1" in training.OFF


# On what


def test_photos_of_scikit_image_are_added_where_there_are_too_few(photo, tmp_path):
    bundled = training.given_photos([])
    assert len(bundled) == 10
    one = training.given_photos([photo])
    assert len(one) == 11
    assert one[0].shape == (1, 3, 64, 96)
    assert all(torch.equal(a, b) for a, b in zip(one[1:], bundled, strict=True))
    assert len(training.given_photos([photo, photo])) == 2


def test_photos_are_shrunk_and_files_that_will_not_do_end_in_a_sentence(photo, tmp_path):
    Image.new("RGB", (2000, 1000)).save(tmp_path / "large.png")
    assert training.given_photos([tmp_path / "large.png", photo])[0].shape == (1, 3, 256, 512)
    with pytest.raises(ValueError, match="Choose up to 12 photos; these are 13"):
        training.given_photos([photo] * 13)
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(ValueError, match=r"^bad.png is not a picture"):
        training.given_photos([photo, tmp_path / "bad.png"])
    Image.new("RGB", (1, 1)).save(tmp_path / "small.png")
    assert training.given_photos([tmp_path / "small.png", photo])[0].shape == (1, 3, 8, 8)


@pytest.mark.parametrize("minutes", [None, 0, 6, float("nan")])
def test_minutes_have_bounds(fakes, minutes):
    with pytest.raises(ValueError, match="Training takes 1 to 5 minutes, but got"):
        next(training.show(fakes, "vae", "noise", minutes, PHOTOS, never))


# What is shown


@pytest.mark.parametrize("family", live.MODELS)
def test_a_short_run_shows_pictures_curves_and_words(monkeypatch, fakes, family):
    monkeypatch.setattr(training, "MINUTES", (0.01, 5))
    monkeypatch.setattr(live, "INTERVAL", 0)
    start, *during, end = training.show(fakes, family, "noise", 0.02, PHOTOS, never)
    title = fakes[family].spec.title
    assert (start.status, start.fraction) == ("Preparing", 0)
    assert len(during) >= 2
    for view in during:
        titles = [picture.title for picture in view.pictures]
        assert titles == ["Damaged", f"Tiny {title}", f"Shipped {title}", "Truth"]
        assert [picture.note.startswith("PSNR") for picture in view.pictures] == [1, 1, 1, 0]
        assert list(view.chart.layout.xaxis.range) == [0, 60 * 0.02]
        assert 0 <= view.seconds_left <= 1.2
    names = {name for panel in training.CURVES[family].values() for name in panel}
    assert {trace.name for trace in during[-1].chart.data} == {*names, "Tiny model"}
    assert training.READING[family][:40] in during[0].told
    assert end.fraction == 1
    assert re.search(r"Done: \d+ steps in \d+ seconds", end.told)
    assert "<table>" in end.told and all(name in end.told for name in names)


def test_curves_and_words_tell_losses_and_gain(monkeypatch, fakes):
    run = [moment(0), moment(2, loss=-1.0), moment(4, loss=-2.5)]
    monkeypatch.setattr(live, "train", lambda *given, **length: (m for m in run))
    *_, last, end = training.show(fakes, "gan", "noise", 1, PHOTOS, never)
    drawn = {trace.name: trace.y for trace in last.chart.data}
    assert drawn["G alone"] == (None, -1.0, -2.5)
    assert drawn["D"] == (None, None, None)
    assert drawn["Tiny model"] == (33.98, 33.98, 33.98)
    assert "Done: 4 steps in 8 seconds" in end.told
    assert "had 20.17 dB, and the tiny GAN brought it to 33.98 dB, 13.81 dB more" in end.told
    assert "brings it to 20.17 dB" in end.told  # the fake leaves flat pictures alone
    assert "<td>-2.50</td>" in end.told and "<td>–</td>" in end.told
    run[-1] = moment(4, loss=-2.5)
    object.__setattr__(run[-1], "psnr_db", 10.0)
    *_, end = training.show(fakes, "gan", "noise", 1, PHOTOS, never)
    assert "10.00 dB, 10.17 dB less" in end.told


@pytest.mark.parametrize(("after", "sentence"), [(1, "before the first step"), (3, "Stopped: 2")])
def test_who_stops_hears_how_far_it_came(monkeypatch, fakes, after, sentence):
    closed, seen = [], []

    def run(*given, **length):
        try:
            for steps in (0, 2, 4):
                yield moment(steps, loss=-1.0)
        finally:
            closed.append(True)

    monkeypatch.setattr(live, "train", run)
    for view in training.show(fakes, "gan", "noise", 1, PHOTOS, lambda: len(seen) >= after):
        seen.append(view)
    assert len(seen) == after + 1
    assert seen[-1].fraction == 1 and sentence in seen[-1].told
    assert closed == [True] * (after > 1)


# Whose turn it is


def views(*names: str):
    yield from (View(name, i / len(names)) for i, name in enumerate(names))


def test_others_have_their_turn_between_two_views():
    line = Line()
    run = training.taking_turns(views("a", "b", "c"), Line(), line, never)
    assert next(run).status == "a"
    with line.join() as other:
        assert other.wait(0)  # nothing is held between two views
        waiting = next(run)
        assert (waiting.status, waiting.fraction) == ("Waiting: 1 before you", 0)
    assert [view.status for view in run] == ["b", "c"]
    assert line.join().ahead == 0


def test_one_training_runs_at_a_time():
    line, trainings = Line(), Line()
    first = training.taking_turns(views("a", "b"), trainings, line, never)
    second = training.taking_turns(views("c"), trainings, line, never)
    assert [next(first).status, next(second).status] == ["a", "Waiting: 1 before you"]
    first.close()  # its visitor has left
    assert [view.status for view in second] == ["c"]


@pytest.mark.parametrize("held", [0, 1])
def test_who_stops_does_not_wait_for_a_turn(held):
    lines, asked = (Line(), Line()), []
    run = training.taking_turns(views("last words"), *lines, lambda: bool(asked))
    with lines[held].join() as other:
        assert other.wait(0)
        assert next(run).status.startswith("Waiting")
        asked.append(True)
        assert [view.status for view in run] == ["last words"]

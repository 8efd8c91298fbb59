"""Presets, and the time a run will take."""

import pytest
from fakes import FakeEnhancer, fake_enhancers

import enhancers
from ui import markup
from ui.controls import BALANCED, FIDELITY, PRESETS, REALISM, preset, preset_of
from ui.runner import Runner


def test_presets_are_told_apart_and_lie_within_the_options():
    fakes = fake_enhancers()
    assert [name for _, name in PRESETS] == [FIDELITY, BALANCED, REALISM]
    values = [preset(name, fakes) for _, name in PRESETS]
    assert values == [[0, 1], [1, 4], [1, 12]]  # the fake diffusion takes four steps by default
    assert preset_of([0, 1], fakes) == FIDELITY
    assert preset_of([1, 4], fakes) == BALANCED
    assert preset_of([0.3, 7], fakes) is None
    for name in (FIDELITY, BALANCED, REALISM):
        chosen = iter(preset(name, fakes))
        for options in enhancers.OPTIONS.values():
            for option in options:
                option.check(next(chosen))


def test_time_is_estimated_for_any_size_and_steps_once_all_are_timed():
    fakes = [FakeEnhancer("vae", 0.5, 0.1, steps=1), FakeEnhancer("diffusion", 0.9, 0.2, steps=4)]
    runner = Runner(fakes)
    assert runner.estimate(100, {}) is None
    assert not runner.warmed.is_set()
    runner.warm_up(64)
    assert runner.warmed.is_set()
    assert runner.estimate(64 * 64, {}) == pytest.approx(0.1 + 4 * 0.2, rel=0.4)
    assert runner.estimate(2 * 64 * 64, {}) == pytest.approx(2 * (0.1 + 4 * 0.2), rel=0.4)
    many = {"diffusion": {"steps": 12}}
    assert runner.estimate(64 * 64, many) == pytest.approx(0.1 + 12 * 0.2, rel=0.4)


def test_button_tells_the_time():
    assert markup.restore_label(None) == "Restore"
    assert markup.restore_label(7.4) == "Restore (about 7 s)"
    assert markup.restore_label(150) == "Restore (about 2 min)"

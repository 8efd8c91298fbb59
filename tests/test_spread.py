"""Where the models are guessing."""

import time

import numpy as np
import torch
from fakes import SEEDS as SEED_OF
from fakes import FakeEnhancer
from PIL import Image

from enhancers.inside import deviation
from ui import job
from ui.job import DAMAGE, DEGRADED
from ui.runner import Runner
from ui.spread import SEEDS, STEPS, Tally, said, watch_spread

SIGMA = 10
"""Of what chance adds, in levels of 255."""


class Guessing(FakeEnhancer):
    """Adds noise of its seed to the right half."""

    def _restore(self, degraded, mask, generator, on_step, **options):
        restored = super()._restore(degraded, mask, generator, on_step, **options)
        noise = torch.randn(restored.shape, generator=generator) * SIGMA / 255
        noise[..., : restored.shape[-1] // 2] = 0
        return restored + noise


def enhancers(seconds=0.0):
    return [
        FakeEnhancer("vae", 0.6, seconds, steps=1),
        Guessing("gan", 0.0, seconds, steps=1),
        Guessing("diffusion", 0.9, seconds, steps=1),
    ]


def test_tally_is_the_deviation_and_the_error_of_what_it_took_in():
    generator = torch.Generator().manual_seed(0)
    clean, *drawn = (torch.rand(1, 3, 9, 7, generator=generator) for _ in range(6))
    tally = Tally(clean)
    for one in drawn:
        tally.add(one)
    assert torch.allclose(tally.spread(), deviation(drawn), atol=1e-3)
    squares = (torch.cat(drawn) - clean).square()
    assert torch.allclose(tally.error(), 255 * squares.mean((0, 1)).sqrt(), atol=1e-3)
    assert Tally(None).error() is None


def test_maps_show_chance_beside_the_error_and_words_say_so(photo, tmp_path):
    task = job.prepare(photo, DAMAGE, "noise", 0)
    fakes = enhancers()
    views = list(watch_spread(Runner(fakes), task, 3, {}, tmp_path))
    panels = views[-1].panels
    assert list(panels) == ["gan-spread", "gan-error", "diffusion-spread", "diffusion-error"]
    assert [fake.begun for fake in fakes] == [0, SEEDS, SEEDS * STEPS]
    spread = np.asarray(Image.open(panels["gan-spread"].file)).astype(int)
    assert set(map(tuple, spread[:, :48].reshape(-1, 3))) == {(0, 32, 77)}  # no chance there
    assert spread[:, 48:].mean() > 80
    assert "blue 0, yellow" in panels["gan-spread"].note
    gan, diffusion = views[-1].table.split("</p>")[:2]
    assert "GAN: 4 seeds differ by" in gan and f"in {STEPS} steps" in diffusion
    share = int(gan.split("Chance makes ")[1].split("%")[0])
    assert share > 90  # without damage, chance is all its error
    fractions = [view.status.split('value="')[1].split('"')[0] for view in views]
    assert fractions == sorted(fractions)


def test_without_truth_there_is_no_error_and_no_chance_is_said(photo, tmp_path):
    steady = [FakeEnhancer("gan", 0.5, steps=1)]
    views = list(watch_spread(Runner(steady), job.prepare(photo, DEGRADED), 0, {}, tmp_path))
    assert list(views[-1].panels) == ["gan-spread"]
    assert "With these settings it does not guess" in views[-1].table


def test_seeds_begin_with_the_one_shown_and_wrap_around(photo, tmp_path):
    used = []

    class Noting(FakeEnhancer):
        def _restore(self, degraded, mask, generator, on_step, **options):
            used.append(SEED_OF[generator.initial_seed()])
            return super()._restore(degraded, mask, generator, on_step, **options)

    runner = Runner([Noting("gan", 0.5, steps=1)])
    list(watch_spread(runner, job.prepare(photo, DEGRADED), job.LARGEST_SEED - 1, {}, tmp_path))
    assert used == [job.LARGEST_SEED - 1, job.LARGEST_SEED, 0, 1]


def test_closing_it_stops_the_work_within_a_step(photo, tmp_path):
    fakes = enhancers(seconds=0.2)
    views = watch_spread(Runner(fakes), job.prepare(photo, DEGRADED), 0, {}, tmp_path)
    while not fakes[2].begun:
        next(views)
    views.close()
    begun = sum(fake.begun for fake in fakes)
    time.sleep(1.5)
    assert sum(fake.begun for fake in fakes) <= begun + 1


def test_words_need_no_error_to_divide_by():
    clean = torch.zeros(1, 3, 4, 4)
    tally = Tally(clean)
    tally.add(clean)
    tally.add(clean)
    assert said("GAN", tally, {}).startswith("GAN: 2 seeds give the same picture.")

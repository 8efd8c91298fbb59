"""Laws of the forward and the reverse process; small random networks, but for one law."""

import math
from types import SimpleNamespace

import pytest
import torch
from skimage import data
from tiny import tiny_enhancers

from enhancers import images, load
from enhancers.degradations import degrade
from enhancers.diffusion import STRIP, make_scheduler
from enhancers.inside import fitted, nothing
from enhancers.inside.diffusion import SCHEDULERS, forward, spread_timesteps, visible, walk
from eval.metrics import psnr


@pytest.fixture(scope="module")
def diffusion(tmp_path_factory):
    return tiny_enhancers(tmp_path_factory.mktemp("weights"))["diffusion"]


def test_forward_marginals_have_the_schedulers_mean_and_variance(diffusion):
    clean = torch.full((1, 3, 256, 256), 0.7)
    alpha_bar = make_scheduler().alphas_cumprod
    for noisy in forward(diffusion, clean, [0, 300, 700, 999]):
        signal = float(alpha_bar[noisy.timestep])
        assert noisy.signal == pytest.approx(signal)
        assert float(noisy.state.mean()) == pytest.approx(0.4 * signal**0.5, abs=0.01)
        assert float(noisy.state.var()) == pytest.approx(1 - signal, rel=0.02)


def test_signal_to_noise_ratio_falls_to_nothing(diffusion):
    timesteps = spread_timesteps(diffusion, 9)
    assert (timesteps[0], timesteps[-1], len(timesteps)) == (0, 999, 9)
    ratios = [noisy.snr_db for noisy in forward(diffusion, torch.rand(1, 3, 8, 8), timesteps)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] == pytest.approx(40, abs=0.1)  # a ratio of 0.01 in amplitude
    assert ratios[-1] == -math.inf


def test_one_noise_serves_all_steps_so_that_they_compare(diffusion):
    clean = torch.rand(1, 3, 8, 8)
    first, second = forward(diffusion, clean, [400, 800], seed=3)
    noise = [
        (n.state - n.signal**0.5 * (2 * clean - 1)) / (1 - n.signal) ** 0.5 for n in (first, second)
    ]
    assert torch.allclose(*noise, atol=1e-4)


@pytest.mark.parametrize(("steps", "height"), [(1, 24), (5, 24), (5, 2 * STRIP - 8)])
def test_the_walk_ends_at_what_the_enhancer_returns(diffusion, steps, height):
    photo, mask = torch.rand(1, 3, height, 32), torch.zeros(1, 1, height, 32)
    mask[..., 8:, 8:] = 1
    film = list(walk(diffusion, photo, mask, steps=steps, seed=4))
    assert [step.number for step in film] == list(range(1, steps + 1))
    assert torch.equal(film[-1].clean, diffusion.restore(photo, mask, seed=4, steps=steps))
    assert film[0].before.snr_db == -math.inf


def test_all_schedulers_begin_alike_and_part_ways(diffusion):
    films = {name: list(walk(diffusion, *nothing(32), steps=4, scheduler=name))
             for name in SCHEDULERS}  # fmt: skip
    first, *others = films.values()
    for film in others:
        assert torch.allclose(film[0].clean, first[0].clean, atol=1e-5)
        assert not torch.equal(film[-1].before.state, first[-1].before.state)
    with pytest.raises(ValueError, match="choose among sde, dpm, ddim"):
        next(walk(diffusion, *nothing(32), steps=4, scheduler="euler"))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_no_number_of_steps_ends_in_nothing(diffusion, scheduler):
    for steps in range(1, 17):
        *_, last = walk(diffusion, *nothing(16), steps=steps, scheduler=scheduler)
        assert torch.isfinite(last.clean).all(), steps


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_draws_from_a_gaussian_with_its_analytic_denoiser(scheduler):
    """For data N(m, s^2) the posterior mean is known; the walk must end with both."""
    mean, spread = 0.3, 0.2

    def predict(state, timestep, signal, *given):
        signal = signal.view(-1, 1, 1, 1)
        gain = signal.sqrt() * spread**2 / (signal * spread**2 + 1 - signal)
        return 0.5 + 0.5 * (mean + gain * (state - signal.sqrt() * mean))

    diffusion = SimpleNamespace(
        device=torch.device("cpu"),
        unet=SimpleNamespace(predict=predict),
        estimate=lambda degraded, mask: degraded,
        scheduler_config=dict(make_scheduler().config),
        alpha_bars=make_scheduler().alphas_cumprod,
    )
    *_, last = walk(diffusion, *nothing(64), steps=100, scheduler=scheduler)
    drawn = 2 * last.clean - 1
    assert float(drawn.mean()) == pytest.approx(mean, abs=0.02)
    assert float(drawn.std()) == pytest.approx(spread, rel=0.1)


def test_states_are_shown_as_pictures():
    assert visible(torch.tensor([-3.0, -1.0, 0.0, 1.0, 9.0])).tolist() == [0, 0, 0.5, 1, 1]


def test_the_mean_of_seeds_beats_every_seed():
    """The law behind posterior means, with the shipped weights."""
    diffusion = load("diffusion")
    clean = fitted(images.from_uint8(data.astronaut()), 96)
    degraded, _ = degrade(clean, "noise", 40, generator=torch.Generator().manual_seed(0))
    drawn = [list(walk(diffusion, degraded, steps=6, seed=seed))[-1].clean for seed in range(4)]
    mean = torch.cat(drawn).mean(0, keepdim=True)
    assert all(psnr(mean, clean) > psnr(one, clean) for one in drawn)
    # The photo was damaged with seed 0, and restored with it is no worse than with another.
    scores = [psnr(one, clean) for one in drawn]
    assert max(scores) - min(scores) < 0.3, scores

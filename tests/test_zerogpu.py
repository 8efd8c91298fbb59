"""ZeroGPU by a stand-in that lets through what the real one does: what can be pickled."""

import contextvars
import pickle
import sys
import types

import pytest
import torch
from fakes import FakeEnhancer, fake_enhancers

from ui.runner import Runner
from ui.zerogpu import is_lent

VISITOR = contextvars.ContextVar("visitor", default=None)
OPTIONS = {"diffusion": {"steps": 5}}
MASK = torch.ones(1, 1, 8, 8).tril()


class Dice(FakeEnhancer):
    """Noise, as bright as there are steps: it depends on all that it is given."""

    def _restore(self, degraded, mask, generator, on_step, steps):
        return mask * degraded + steps / 32 * torch.rand(degraded.shape, generator=generator)


def enhancers():
    return [*fake_enhancers()[:2], Dice("diffusion", 0.9)]


@pytest.fixture
def lent(monkeypatch):
    """The calls that were lent a GPU, and who they were for."""
    calls = []

    def gpu(function):
        def call(*args):
            calls.append((args[0], VISITOR.get()))
            return pickle.loads(pickle.dumps(function(*pickle.loads(pickle.dumps(args)))))

        return call

    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setitem(sys.modules, "spaces", types.SimpleNamespace(GPU=gpu))
    return calls


def results(runner, photo):
    run = runner.run(photo, MASK, seed=2, options=OPTIONS)
    events = [update.event for update in run if update.event]
    return {event.name: event.restored for event in events if event.restored is not None}


def test_each_method_borrows_the_gpu_and_gives_the_same_picture(lent):
    photo = torch.rand(1, 3, 8, 8)
    token = VISITOR.set("somebody")  # ZeroGPU counts the visitor's quota by the request
    pictures = results(Runner(enhancers()), photo)
    VISITOR.reset(token)
    assert lent == [(name, "somebody") for name in ("vae", "gan", "diffusion")]
    for fake in enhancers():
        options = OPTIONS.get(fake.spec.name, {})
        alone = fake.restore(photo, MASK, seed=2, **options)
        assert torch.equal(pictures[fake.spec.name], alone)


def test_methods_that_are_no_networks_borrow_nothing(lent):
    runner = Runner(fake_enhancers()[:1])
    other = fake_enhancers()[1]
    list(runner.run(torch.rand(1, 3, 8, 8), None, enhancers=[other]))
    assert lent == []


def test_elsewhere_nothing_is_borrowed(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    monkeypatch.setitem(sys.modules, "spaces", None)  # importing it would fail
    assert not is_lent()
    assert len(results(Runner(fake_enhancers()), torch.rand(1, 3, 8, 8))) == 3

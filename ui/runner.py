"""Run the enhancers on one photo in a thread that can be watched and stopped. No Gradio here."""

from __future__ import annotations

import contextvars
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from enhancers.base import Enhancer, Option
from eval.memory import release
from ui.cache import Cache, key_of
from ui.line import Line
from ui.zerogpu import is_lent, lend_gpu

CACHE_BYTES = 64 << 20
"""How much of what was restored is kept for those who ask for the same again."""

HEARTBEAT = 0.25
"""Seconds after which a silent run reports, so that it can be stopped and its clock moves."""

WARM_STEPS = 2
"""Steps more than by default, to learn what a step costs."""

Options = Mapping[str, Mapping[str, float]]
"""Method name -> the options to pass to its `restore`."""


@dataclass(frozen=True)
class Event:
    """A step of a method, or its end."""

    name: str
    step: int = 0
    """Steps done; 0 where the method has only begun."""
    steps: int = 0
    preview: Tensor | None = None
    """(1, 3, H, W), the estimate so far."""
    restored: Tensor | None = None
    """(1, 3, H, W), once the method is done."""
    seconds: float = 0.0
    """Time the method took so far."""
    kept: bool = False
    """Whether it was made earlier, for the same request; `seconds` is the time it took then."""


@dataclass(frozen=True)
class Update:
    """How far a run is, and the event that moved it."""

    name: str
    """The method at work; empty while others have their turn."""
    fraction: float
    """Of the whole run, 0-1, by expected time."""
    seconds_left: float | None
    """None until there is something to tell it by."""
    event: Event | None = None
    """None for a heartbeat."""
    ahead: int = 0
    """How many runs are before this one in the line."""


class Stopped(Exception):  # noqa: N818 - a request, not an error
    """Raised inside `restore`, through `on_step`, to end it."""


class Runner:
    """All enhancers, one at a time, fastest first; remembers how long each of them takes."""

    def __init__(self, enhancers: Sequence[Enhancer]):
        self.enhancers = {enhancer.spec.name: enhancer for enhancer in enhancers}
        self.line = Line()
        """Where everything waits that uses the enhancers: they serve one at a time."""
        self.warmed = threading.Event()
        """Set once `warm_up` has told how long everything takes."""
        self._cache = Cache(CACHE_BYTES)
        self._lent = lend_gpu(self.enhancers) if is_lent() else None
        self._rates: dict[tuple[str, tuple], float] = {}

    def run(
        self,
        degraded: Tensor,
        mask: Tensor | None,
        *,
        seed: int = 0,
        options: Options | None = None,
        enhancers: Sequence[Enhancer] | None = None,
    ) -> Iterator[Update]:
        """Restore with every method; yields at every event and at least every `HEARTBEAT`.

        enhancers: those to use instead of `self.enhancers`; a stranger among them is expected to
        take no time until it has run once. Closing the iterator stops the computation at its next
        `on_step`. Work starts with the first `next`; a method that raises ends the run with its
        exception.
        """
        chosen = self.enhancers
        if enhancers is not None:
            chosen = {enhancer.spec.name: enhancer for enhancer in enhancers}
        options = {name: dict((options or {}).get(name, {})) for name in chosen}
        pixels = degraded.shape[-2] * degraded.shape[-1]
        clock = _Clock({name: self._expected(name, options[name], pixels) for name in options})
        events: queue.SimpleQueue[Event | Exception | None] = queue.SimpleQueue()
        stop = threading.Event()
        place = self.line.join()

        def work() -> None:
            with place:
                while not place.wait(HEARTBEAT):
                    if stop.is_set():
                        return
                ended = None
                try:
                    for name in clock.order:
                        self._restore(
                            chosen[name], degraded, mask, seed, options[name], events.put, stop
                        )
                except Exception as error:
                    ended = error
                release()
                events.put(ended)

        context = contextvars.copy_context()  # knows whose request this is
        threading.Thread(target=context.run, args=(work,), daemon=True, name="restore").start()
        try:
            while True:
                arrived = _newest(events)
                for event in arrived:
                    if event is None:
                        return
                    if isinstance(event, Exception):
                        raise event
                    if event.restored is not None:
                        key = self._key(event.name, options[event.name])
                        self._rates[key] = event.seconds / pixels
                    yield clock.update(event)
                if not arrived:
                    yield clock.update(ahead=0 if clock.name else place.ahead)
        finally:
            stop.set()

    def warm_up(self, side: int = 256) -> None:
        """Learn how long each method takes, and each further step of it, from a small picture."""
        grey = torch.full((1, 3, side, side), 0.5)
        stepped = {name: _stepped(enhancer) for name, enhancer in self.enhancers.items()}
        for _ in self.run(grey, None):
            pass
        again = [self.enhancers[name] for name, options in stepped.items() if options]
        for _ in self.run(grey, None, options=stepped, enhancers=again):
            pass
        self.warmed.set()

    def estimate(self, pixels: int, options: Options) -> float | None:
        """Seconds all methods will take for a photo; None until each has been timed."""
        times = [self._expected(name, options.get(name, {}), pixels) for name in self.enhancers]
        return None if None in times else sum(times)

    def _restore(
        self,
        enhancer: Enhancer,
        degraded: Tensor,
        mask: Tensor | None,
        seed: int,
        options: Mapping[str, float],
        report: Callable[[Event], None],
        stop: threading.Event,
    ) -> None:
        name, start = enhancer.spec.name, time.perf_counter()

        def on_step(step: int, steps: int, preview: Tensor | None) -> None:
            if stop.is_set():
                raise Stopped
            if preview is not None:
                preview = preview.detach().float().clamp(0, 1).cpu()
            report(Event(name, step, steps, preview, seconds=time.perf_counter() - start))

        on_step(0, 0, None)
        key = key_of(enhancer.spec, degraded, mask, seed, options)
        if kept := self._cache.get(key):
            report(Event(name, restored=kept.restored, seconds=kept.seconds, kept=True))
            return
        if self._lent and enhancer is self.enhancers.get(name):
            restored = self._lent(name, degraded, mask, seed, options)
        else:
            restored = enhancer.restore(degraded, mask, seed=seed, on_step=on_step, **options)
        seconds = time.perf_counter() - start
        self._cache.put(key, restored, seconds)
        report(Event(name, restored=restored.clone(), seconds=seconds))

    def _expected(self, name: str, options: Mapping[str, float], pixels: int) -> float | None:
        """Seconds a method will take; None for one of `self.enhancers` that was never timed.

        By its last run with these options, or else by how its time has grown with its steps.
        """
        rate = self._rates.get(self._key(name, options))
        if rate is None:
            known = [(self._steps(n, dict(o)), r) for (n, o), r in self._rates.items() if n == name]
            if not known:
                return None if name in self.enhancers else 0.0
            (few, low), (many, high) = min(known), max(known)
            slope = max(0.0, (high - low) / (many - few)) if many > few else 0.0
            rate = low + slope * max(0.0, self._steps(name, options) - few)
        return rate * pixels

    def _key(self, name: str, options: Mapping[str, float]) -> tuple[str, tuple]:
        values = {o.name: o.default for o in self._options(name)} | dict(options)
        return name, tuple(sorted(values.items()))

    def _steps(self, name: str, options: Mapping[str, float]) -> float:
        """The sum of the options that count something."""
        return sum(options.get(o.name, o.default) for o in self._options(name) if o.integer)

    def _options(self, name: str) -> tuple[Option, ...]:
        return self.enhancers[name].spec.options if name in self.enhancers else ()


class _Clock:
    """How far a run is: by what each method is expected to take, corrected as steps complete."""

    def __init__(self, expected: dict[str, float | None]):
        self.order = sorted(  # stable: as given where nothing is known
            expected, key=lambda name: math.inf if expected[name] is None else expected[name]
        )
        self.name = ""
        self._expected = expected
        self._done: dict[str, float] = {}
        self._start = 0.0
        self._furthest = 0.0

    def update(self, event: Event | None = None, ahead: int = 0) -> Update:
        """Take in an event. The fraction never falls, whatever is learnt of the times."""
        if event:
            self._note(event)
        self._furthest = max(self._furthest, self.fraction)
        return Update(self.name, self._furthest, self.seconds_left, event, ahead)

    def _note(self, event: Event) -> None:
        if event.name != self.name:
            self.name, self._start = event.name, time.perf_counter() - event.seconds
        if event.restored is not None:
            self._done[event.name] = event.seconds
        elif event.step:  # the steps just done tell more than an earlier run
            self._expected[event.name] = event.seconds * event.steps / event.step

    @property
    def seconds_left(self) -> float | None:
        todo = [self._expected[name] for name in self.order if name not in self._done]
        return None if None in todo else sum(todo) - self._spent

    @property
    def fraction(self) -> float:
        left = self.seconds_left
        if left is None:  # no idea of the times: count methods
            return len(self._done) / len(self.order)
        done = sum(self._done.values()) + self._spent
        return done / (done + left) if done + left else 1.0

    @property
    def _spent(self) -> float:
        """Seconds spent on the present method, never more than it was expected to take."""
        if not self.name or self.name in self._done:
            return 0.0
        return min(time.perf_counter() - self._start, self._expected[self.name] or 0.0)


def _stepped(enhancer: Enhancer) -> dict[str, float]:
    """Options with which a method takes more steps than by default; none where it has no steps."""
    options = enhancer.spec.options
    return {o.name: min(o.high, o.default + WARM_STEPS) for o in options if o.integer}


def _newest(events: queue.SimpleQueue) -> list[Event | Exception | None]:
    """Wait up to a heartbeat for events; of several steps in a row keep only the last one."""
    arrived: list[Event | Exception | None] = []
    try:
        arrived.append(events.get(timeout=HEARTBEAT))
        while True:
            event = events.get_nowait()
            if _is_step(event) and _is_step(arrived[-1]):
                arrived.pop()
            arrived.append(event)
    except queue.Empty:
        return arrived


def _is_step(event: Event | Exception | None) -> bool:
    return isinstance(event, Event) and event.restored is None

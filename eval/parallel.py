"""Several processes on one benchmark: workers of this machine, or members of a group.

Both give what one process gives, in the same order.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import torch

PATIENCE = timedelta(hours=4)
"""How long members of a group wait for the slowest of them."""

_restorers: dict = {}
"""In a worker: how to call each method."""


def by_workers(jobs: Sequence, workers: int, methods: Sequence) -> Iterator:
    """Perform jobs in so many new processes of one thread each; yield their outcomes in order.

    Only twice as many jobs are under way as there are workers, so an interruption loses little.
    """
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, context, _start_worker, (methods,))
    waiting: deque[Future] = deque()
    try:
        for job in jobs:
            waiting.append(executor.submit(_perform, job))
            if len(waiting) >= 2 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _start_worker(methods: Sequence) -> None:
    from eval.benchmark import load_restorers, warm_up

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    torch.set_num_threads(1)
    restorers, _ = load_restorers(methods, "cpu")
    warm_up(restorers.values())
    _restorers.update(restorers)


def _perform(job: Any) -> list:
    from eval.benchmark import perform

    return list(perform(job, _restorers))


class Group:
    """The processes that `accelerate launch` started together; without it, this one alone."""

    def __init__(self, device: str):
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self._state = None
        self.device, self.is_main = device, True
        if self.size > 1:
            from accelerate import PartialState

            self._state = PartialState(cpu=device == "cpu", timeout=PATIENCE)
            self.device, self.is_main = str(self._state.device), self._state.is_main_process

    def main_first(self) -> AbstractContextManager:
        """Let one process of each machine go first, such as to download for the others."""
        return self._state.local_main_process_first() if self._state else nullcontext()

    def by_members(self, jobs: Sequence, perform: Callable[[Any], Iterable]) -> Iterator:
        """Perform the jobs of the main process, one of each member at a time.

        Yields the outcomes in order to the main process, and nothing to the others, which must
        exhaust this all the same.
        """
        if self._state is None:
            for job in jobs:
                yield from perform(job)
            return
        from accelerate.utils import broadcast_object_list, gather_object

        jobs = broadcast_object_list([jobs])[0]
        for start in range(0, len(jobs), self.size):
            mine = jobs[start : start + self.size][self._state.process_index :][:1]
            outcomes = gather_object([[outcome for job in mine for outcome in perform(job)]])
            if self.is_main:
                for outcome in outcomes:
                    yield from outcome

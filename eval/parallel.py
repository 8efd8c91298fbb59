"""Several processes on one benchmark: workers of this machine, or members of a group.

Both give what one process gives, in the same order.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch

PATIENCE = timedelta(hours=4)
"""How long members of a group wait for the slowest of them."""

_restorers: dict = {}
"""In a worker: how to call each method."""


def by_workers(jobs: Sequence, workers: int, methods: Sequence) -> Iterator:
    """Perform jobs in so many new processes of one thread each; yield their outcomes in order.

    Only twice as many jobs are under way as there are workers, so an interruption loses little:
    SIGINT or SIGTERM ends the processes and raises KeyboardInterrupt. To be called in the main
    thread.
    """
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, context, _start_worker, (methods,))
    waiting: deque[Future] = deque()
    with _signals_noted() as noted:

        def first() -> list:
            future = waiting.popleft()
            while not (noted or wait([future], timeout=0.2).done):
                pass
            if noted:
                raise KeyboardInterrupt
            return future.result()

        try:
            for job in jobs:
                waiting.append(executor.submit(_perform, job))
                if len(waiting) >= 2 * workers:
                    yield from first()
            while waiting:
                yield from first()
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        finally:
            executor.shutdown(cancel_futures=True)


@contextmanager
def _signals_noted() -> Iterator[list[int]]:
    """Meanwhile, SIGINT and SIGTERM are only put on a list.

    An exception raised by a signal may come while a lock is being taken or given back, and leave
    it in the wrong state.
    """
    noted: list[int] = []
    both = signal.SIGINT, signal.SIGTERM
    before = [signal.signal(one, lambda number, _: noted.append(number)) for one in both]
    try:
        yield noted
    finally:
        for one, handler in zip(both, before, strict=True):
            signal.signal(one, handler)


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

    def leave(self) -> None:
        """Wait for the others and end the group: gloo aborts a member that simply ends."""
        if self._state:
            self._state.wait_for_everyone()
            self._state.destroy_process_group()

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

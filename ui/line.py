"""The line in which everything waits that runs a model. No Gradio here."""

from __future__ import annotations

import threading
from collections import deque


class Line:
    """Lets one at a time through, in the order of arrival.

    A plain lock would not do: whoever gives it back and wants it again, as a batch does after
    each of its photos, may get it before those who wait.
    """

    def __init__(self):
        self._moved = threading.Condition()
        self._places: deque[Place] = deque()

    def join(self) -> Place:
        """Take the last place; whoever joins must leave (`with` does)."""
        place = Place(self._places, self._moved)
        with self._moved:
            self._places.append(place)
        return place


class Place:
    """A place in a line."""

    def __init__(self, places: deque[Place], moved: threading.Condition):
        self._places, self._moved = places, moved

    @property
    def ahead(self) -> int:
        """How many are before us, the one at work included; none once we have left."""
        with self._moved:
            return self._places.index(self) if self in self._places else 0

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds to be the first; whether we are."""
        with self._moved:
            return self._moved.wait_for(lambda: self._places[0] is self, timeout)

    def leave(self) -> None:
        """Go, whether we had our turn or not."""
        with self._moved:
            self._places.remove(self)
            self._moved.notify_all()

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_) -> None:
        self.leave()

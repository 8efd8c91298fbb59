import threading
import time

import pytest
import torch
from fakes import FakeEnhancer, fake_enhancers

from ui.cache import Cache, key_of
from ui.line import Line
from ui.runner import Runner

# The line


def test_first_come_first_served():
    line, served = Line(), []
    places = [line.join() for _ in range(4)]
    assert [place.ahead for place in places] == [0, 1, 2, 3]

    def go(number):
        with places[number] as place:
            place.wait(10)
            served.append(number)

    threads = [threading.Thread(target=go, args=(number,)) for number in (3, 1, 2, 0)]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2, 3]


def test_who_leaves_lets_the_others_move_up():
    line = Line()
    first, second, third = line.join(), line.join(), line.join()
    assert not second.wait(0.01)
    second.leave()
    assert third.ahead == 1
    first.leave()
    assert third.wait(0.01)
    assert first.ahead == 0  # none is before one that has left


def test_a_batch_lets_others_in_between_its_photos():
    fake = FakeEnhancer("vae", 0.5, seconds=0.1, steps=2)
    runner, finished = Runner([fake]), []

    def photos(owner, count):
        for number in range(count):
            list(runner.run(torch.full((1, 3, 4, 4), number / 10), None, seed=hash(owner) % 99))
            finished.append(owner)

    batch = threading.Thread(target=photos, args=("batch", 5))
    batch.start()
    time.sleep(0.1)
    photos("visitor", 1)
    assert finished.count("batch") <= 1
    batch.join()


# The cache


def picture(value: float, side: int = 4) -> torch.Tensor:
    return torch.full((1, 3, side, side), value)


def test_the_same_request_is_answered_without_the_model():
    fakes = fake_enhancers()
    runner, photo = Runner(fakes), torch.rand(1, 3, 16, 16).mul(255).round().div(255)

    def results():
        events = [update.event for update in runner.run(photo, None, seed=3) if update.event]
        return {event.name: event for event in events if event.restored is not None}

    first, begun, again = results(), [fake.begun for fake in fakes], results()
    assert [fake.begun for fake in fakes] == begun
    assert len(again) == len(fakes)
    for name, new in again.items():
        assert new.kept and not first[name].kept
        assert new.seconds == first[name].seconds
        assert (new.restored - first[name].restored).abs().max() <= 0.5 / 255 + 1e-6


def test_everything_that_changes_a_picture_changes_its_key():
    spec = FakeEnhancer("diffusion", 0.9).spec
    mask = torch.zeros(1, 1, 4, 4)
    hole = mask.clone()
    hole[..., 0, 0] = 1
    key = key_of(spec, picture(0.4), None, 0, {})
    assert key_of(spec, picture(0.4), mask, 0, {"steps": 4}) == key  # said or not, the same
    others = [
        key_of(spec, picture(0.6), None, 0, {}),
        key_of(spec, picture(0.4).reshape(1, 3, 2, 8), None, 0, {}),
        key_of(spec, picture(0.4), hole, 0, {}),
        key_of(spec, picture(0.4), None, 1, {}),
        key_of(spec, picture(0.4), None, 0, {"steps": 5}),
        key_of(FakeEnhancer("vae", 0.9).spec, picture(0.4), None, 0, {}),
    ]
    assert len({key, *others}) == 1 + len(others)


def test_the_cache_is_bounded_and_forgets_what_was_asked_for_longest_ago():
    cache = Cache(max_bytes=2 * 48)  # two pictures of 3 x 4 x 4 bytes
    cache.put("a", picture(0.2), 1.0)
    cache.put("b", picture(0.4), 1.0)
    cache.get("a")
    cache.put("c", picture(0.6), 1.0)
    assert cache.get("b") is None
    assert cache.get("a").restored.mean() == pytest.approx(0.2)
    cache.put("a", picture(0.8), 2.0)  # anew, not twice
    assert cache.bytes == 2 * 48
    cache.put("huge", picture(0.1, side=64), 1.0)
    assert cache.get("huge") is None
    assert cache.get("c") is not None

from __future__ import annotations

from heykit.heygen import Bell


async def test_all_who_listen_to_a_name_hear_it_and_no_other() -> None:
    bell = Bell()
    with bell.listening("a") as first, bell.listening("a") as second, bell.listening("b") as other:
        bell.ring("a")
        assert [await signal.wait(0) for signal in (first, second, other)] == [True, True, False]


async def test_rings_between_two_waits_count_once() -> None:
    bell = Bell()
    with bell.listening("a") as signal:
        bell.ring("a")
        bell.ring("a")
        assert [await signal.wait(0), await signal.wait(0)] == [True, False]
        bell.ring("a")
        assert await signal.wait(0)


def test_nothing_is_kept_of_who_no_longer_listens() -> None:
    bell = Bell()
    with bell.listening("a"), bell.listening("a"), bell.listening("b"):
        bell.ring("a")
        assert bell.listeners() == 3
    bell.ring("a")
    assert bell.listeners() == 0

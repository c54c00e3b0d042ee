from tests.examples.conftest import Demo


async def test_the_fourth_player_fills_a_room(demo: Demo) -> None:
    await demo.start("director", 1)
    director = demo.bus.master("director")
    found = [
        await director.request("find_match", account, timeout=5.0, wait_for_master=True)
        for account in ("alice", "alice", "bob", "carol", "dave", "erin")
    ]
    assert found == [None, None, None, None, 1, None]


async def test_one_of_two_decides_and_the_other_takes_over(demo: Demo) -> None:
    directors = [await demo.start("director", instance) for instance in (1, 2)]
    route = demo.bus.master("director")
    await route.request("find_match", "alice", timeout=5.0, wait_for_master=True)
    assert [director.service.is_master() for director in directors].count(True) == 1
    old = next(director for director in directors if director.service.is_master())
    assert old.waiting == ["alice"]
    await old.service.stop()
    assert old.waiting == []
    new = next(director for director in directors if director is not old)
    await route.request("find_match", "bob", timeout=5.0, wait_for_master=True)
    assert new.service.is_master()
    assert new.waiting == ["bob"]

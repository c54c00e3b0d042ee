from tests.examples.conftest import Demo
from tests.support.waiting import until


async def test_a_player_moves_at_the_gateway_that_let_him_in(demo: Demo) -> None:
    gateways = {f"1.{instance}": await demo.start("gateway", instance) for instance in (1, 2)}
    where = await demo.bus.random("gateway").request("login", "alice")
    demo.bus.target(where).send("move", "alice", 3, 4)
    await until(lambda: gateways[where].players == {"alice": (3, 4)})
    assert sum(len(gateway.players) for gateway in gateways.values()) == 1


async def test_news_reach_every_gateway(demo: Demo) -> None:
    gateways = [await demo.start("gateway", instance) for instance in (1, 2)]
    for number in range(12):
        demo.bus.broadcast("gateway").send("announce", f"news {number}")
    expected = [f"news {number}" for number in range(2, 12)]
    await until(lambda: all(gateway.news == expected for gateway in gateways))

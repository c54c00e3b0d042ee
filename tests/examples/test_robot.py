import pytest

from tests.examples.conftest import Demo
from tests.support.waiting import until


async def test_its_traffic_takes_all_five_routes(demo: Demo) -> None:
    mail, gateway, director = [await demo.start(name) for name in ("mail", "gateway", "director")]
    await demo.start("robot")
    await until(lambda: mail.boxes, what="hash: mail is sent")
    await until(
        lambda: any(place == (4, 4) for place in gateway.players.values()), what="random, then target"
    )
    await until(lambda: gateway.news, what="broadcast")
    await until(lambda: director.rooms_opened, what="master")


async def test_it_says_what_failed_and_goes_on(demo: Demo, caplog: pytest.LogCaptureFixture) -> None:
    robot = await demo.start("robot")
    await until(lambda: "write_mail: NoRoute" in caplog.text and "play: No" in caplog.text)
    mail = await demo.start("mail")
    await until(lambda: mail.boxes, what="it tries again")
    assert all(not act.done() for act in robot.acts)

from tests.examples.conftest import Demo


async def test_mail_waits_in_the_box_until_it_is_read(demo: Demo) -> None:
    await demo.start("mail", 1)
    bobs = demo.bus.hash("mail", "bob")
    assert await bobs.request("send_mail", "alice", "bob", "hi", "lunch?") == 1
    assert await bobs.request("send_mail", "carol", "bob", "re", "at one") == 2
    assert await bobs.request("read_mail", "bob") == [
        {"from": "alice", "title": "hi", "body": "lunch?"},
        {"from": "carol", "title": "re", "body": "at one"},
    ]
    assert await bobs.request("read_mail", "bob") == []


async def test_all_mail_of_an_account_meets_in_one_instance_and_accounts_spread(demo: Demo) -> None:
    instances = [await demo.start("mail", instance) for instance in (1, 2, 3)]
    accounts = [f"account {number}" for number in range(50)]
    for account in accounts:
        for _ in range(2):
            await demo.bus.hash("mail", account).request("send_mail", "a", account, "t", "b")
    homes = {account: [m for m in instances if account in m.boxes] for account in accounts}
    assert all(len(found) == 1 and len(found[0].boxes[account]) == 2 for account, found in homes.items())
    stats = await demo.bus.broadcast("mail").gather("stats", timeout=5.0)
    assert sum(each["mails"] for each in stats.values()) == 100
    assert all(each["accounts"] > 0 for each in stats.values())


async def test_a_box_keeps_the_latest(demo: Demo) -> None:
    mail = await demo.start("mail")
    for number in range(mail.KEPT + 5):
        mail.send_mail("alice", "bob", str(number), "")
    assert [entry["title"] for entry in mail.read_mail("bob")] == [str(n) for n in range(5, mail.KEPT + 5)]

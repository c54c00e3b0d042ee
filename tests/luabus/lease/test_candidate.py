"""Candidates on a real SQLite file: what callers see, and what a store that fails does to it."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from luabus.errors import ConfigError, Refused
from luabus.ids import ServiceId
from luabus.lease import LeaseStore, LeaseStoreError, open_store
from luabus.lease.candidate import Candidate, lease_clock
from luabus.lease.lease_options import LeaseOptions
from luabus.lease.stores.base import DEFAULT_NAMESPACE, LeaseRow
from tests.support.hostile import Abort
from tests.support.lease_servers import SqliteFile

TTL, RENEW = 1.0, 0.1
FIRST, SECOND, THIRD = (ServiceId.of(2, instance) for instance in (1, 2, 3))


class Recorder:
    """A candidate whose callbacks are written down, and can be waited for."""

    def __init__(
        self,
        store: LeaseStore | str,
        service_id: ServiceId = FIRST,
        *,
        ttl: float = TTL,
        renew: float = RENEW,
        namespace: str = DEFAULT_NAMESPACE,
        **options: object,
    ) -> None:
        self.told: list[int | None] = []  # an epoch: became master; None: is master no longer
        self.times: list[float] = []
        self.changed = asyncio.Event()
        self.candidate = Candidate(
            2,
            service_id,
            incarnation=1000 + service_id.instance,
            options=LeaseOptions(store, ttl, renew, namespace),
            **{"on_master": self.tell, "on_slave": self.tell} | options,  # type: ignore[arg-type]
        )

    def tell(self, epoch: int | None = None) -> None:
        assert self.candidate.is_master() == (epoch is not None)
        self.told.append(epoch)
        self.times.append(lease_clock())
        self.changed.set()

    async def until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def until_master(self) -> int:
        await self.until(self.candidate.is_master)
        return self.candidate.epoch


@asynccontextmanager
async def running(
    store: LeaseStore | str, service_id: ServiceId = FIRST, **options: object
) -> AsyncIterator[Recorder]:
    recorder = Recorder(store, service_id, **options)
    await recorder.candidate.start()
    try:
        yield recorder
    finally:
        await recorder.candidate.stop()


@pytest.fixture
def file(tmp_path: Path) -> SqliteFile:
    return SqliteFile(tmp_path)


async def eventually(condition: Callable[[], bool]) -> None:
    """For what no callback tells."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("what was waited for did not come")


class Hanging:
    """A store of the caller's which works until it is told to hang, and has no time-out of its own."""

    address = "hanging://"

    def __init__(self, file: SqliteFile) -> None:
        self.store = open_store(file.url)
        self.hangs = False

    async def read(self, group: int) -> LeaseRow | None:
        await self._pass()
        return await self.store.read(group)

    async def compare_and_set(self, group: int, expected: LeaseRow | None, new: LeaseRow) -> bool:
        await self._pass()
        return await self.store.compare_and_set(group, expected, new)

    async def close(self) -> None:
        await self.store.close()

    async def _pass(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()


async def test_is_elected_and_says_so(file: SqliteFile) -> None:
    async with running(file.url) as one:
        assert await one.until_master() == 1
        snapshot = one.candidate.snapshot()
        assert (snapshot.state, snapshot.is_master, snapshot.epoch) == ("master", True, 1)
        assert (snapshot.holder, snapshot.holder_epoch) == (FIRST, 1)
        assert 0 < snapshot.valid_for_s <= TTL
        assert snapshot.unreachable_s is None
        assert snapshot.store == file.url
        assert one.told == [1]
    assert one.told == [1, None]
    assert not one.candidate.is_master()
    assert one.candidate.snapshot().state == "stopped"


async def test_one_of_three(file: SqliteFile) -> None:
    async with running(file.url) as one, running(file.url, SECOND) as two, running(file.url, THIRD) as three:
        recorders = (one, two, three)
        await eventually(lambda: any(recorder.told for recorder in recorders))
        await eventually(lambda: all(recorder.candidate.snapshot().holder for recorder in recorders))
        (master,) = [recorder for recorder in recorders if recorder.candidate.is_master()]
        assert {recorder.candidate.snapshot().holder for recorder in recorders} == {
            master.candidate.service_id
        }
        assert [recorder.told for recorder in recorders if recorder is not master] == [[], []]


async def test_a_clean_stop_lets_the_next_one_in_at_once(file: SqliteFile) -> None:
    async with running(file.url) as one:
        await one.until_master()
        async with running(file.url, SECOND) as two:
            stopped_at = lease_clock()
            await one.candidate.stop()
            assert await two.until_master() == 2
            assert two.times[0] - stopped_at < 1.5 * RENEW + 0.2


async def test_on_slave_ends_before_the_lease_is_given_up(file: SqliteFile) -> None:
    """What the handlers of `on_slave` still do cannot overlap with the next master."""
    free_to_end, began = asyncio.Event(), asyncio.Event()
    ended_at = 0.0

    async def on_slave() -> None:
        nonlocal ended_at
        began.set()
        await free_to_end.wait()
        ended_at = lease_clock()

    became_master = asyncio.Event()
    async with running(file.url, on_master=lambda epoch: became_master.set(), on_slave=on_slave) as one:
        await became_master.wait()
        async with running(file.url, SECOND) as two:
            stopping = asyncio.create_task(one.candidate.stop())
            await began.wait()
            assert not one.candidate.is_master()
            await asyncio.sleep(3 * RENEW)  # the other looks three times, and must not find the row free
            assert two.told == []
            free_to_end.set()
            await stopping
            await two.until_master()
            assert two.times[0] >= ended_at > 0


async def test_an_on_slave_that_never_ends_is_not_waited_for_longer_than_half_the_ttl(
    file: SqliteFile,
) -> None:
    began = lease_clock()
    became_master = asyncio.Event()
    never = asyncio.Event()

    async def on_slave() -> None:
        await never.wait()

    async with running(file.url, on_master=lambda epoch: became_master.set(), on_slave=on_slave) as one:
        await became_master.wait()
        began = lease_clock()
        await one.candidate.stop()
    assert TTL / 2 <= lease_clock() - began < TTL / 2 + 0.3
    store = open_store(file.url)
    row = await store.read(2)
    await store.close()
    assert row is not None
    assert row.holder == 0
    never.set()


async def test_callbacks_that_await_run_in_order(file: SqliteFile) -> None:
    order: list[str] = []
    let_go = asyncio.Event()

    async def on_master(epoch: int) -> None:
        order.append("master begins")
        await let_go.wait()
        order.append("master ends")

    async def on_slave() -> None:
        order.append("slave")

    recorder = Recorder(file.url, on_master=on_master, on_slave=on_slave)
    await recorder.candidate.start()
    await eventually(lambda: bool(order))
    stopping = asyncio.create_task(recorder.candidate.stop())
    await asyncio.sleep(0)
    let_go.set()
    await stopping
    assert order == ["master begins", "master ends", "slave"]


async def test_a_callback_that_fails_does_not_end_the_candidature(
    file: SqliteFile, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(epoch: int) -> None:
        raise RuntimeError("a handler's bug")

    async def fails_later() -> None:
        raise RuntimeError("another bug")

    async with running(file.url, on_master=fails, on_slave=fails_later) as one:
        await eventually(lambda: "a handler's bug" in caplog.text)
        assert one.candidate.is_master()
    assert "another bug" in caplog.text
    assert not one.candidate.is_master()


async def test_a_callback_that_raises_no_exception_keeps_none_that_follows_from_its_turn(
    file: SqliteFile,
) -> None:
    async def fails(epoch: int) -> None:
        await asyncio.sleep(0)
        raise Abort

    slave = asyncio.Event()

    async def on_slave() -> None:
        slave.set()

    async with running(file.url, on_master=fails, on_slave=on_slave) as one:
        await eventually(lambda: one.candidate.is_master())
    await asyncio.wait_for(slave.wait(), 5)


class TestStoreThatFails:
    async def test_serves_until_the_deadline_then_nobody_then_again(self, file: SqliteFile) -> None:
        async with running(file.url) as one:
            await one.until_master()
            file.freeze()
            deadline = lease_clock() + one.candidate.snapshot().valid_for_s
            await one.until(lambda: one.told == [1, None])
            # One renewal may have been on its way when the store froze.
            assert deadline - 0.01 <= one.times[1] <= deadline + RENEW + 0.1
            snapshot = one.candidate.snapshot()
            assert snapshot.state.startswith("lease store unreachable since 20")
            assert snapshot.unreachable_s is not None
            assert snapshot.last_error is not None
            assert "locked" in snapshot.last_error or "no answer" in snapshot.last_error
            file.thaw()
            back_at = lease_clock()
            assert await one.until_master() > 1
            assert lease_clock() - back_at < TTL + 3
            assert one.candidate.snapshot().unreachable_s is None

    async def test_a_store_without_a_timeout_cannot_keep_a_master_in_office(self, file: SqliteFile) -> None:
        store = Hanging(file)
        async with running(store) as one:
            await one.until_master()
            store.hangs = True
            deadline = lease_clock() + one.candidate.snapshot().valid_for_s
            await one.until(lambda: one.told == [1, None])
            assert one.times[1] <= deadline + RENEW + 0.1
            began = lease_clock()
            await one.candidate.stop()
            assert lease_clock() - began < TTL + 0.5
        await store.close()

    async def test_a_start_does_not_wait_for_it(self, tmp_path: Path) -> None:
        (tmp_path / "blocked").write_text("a file where the folder should be")
        began = lease_clock()
        async with running(f"sqlite:///{tmp_path}/blocked/lease.db") as one:
            assert lease_clock() - began < 0.2
            await eventually(lambda: one.candidate.snapshot().unreachable_s is not None)
            assert not one.candidate.is_master()
            assert "unreachable" in one.candidate.snapshot().state
            (tmp_path / "blocked").unlink()
            assert await one.until_master() == 1

    async def test_an_unforeseen_error_is_logged_and_survived(
        self, file: SqliteFile, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Buggy(Hanging):
            async def _pass(self) -> None:
                if self.hangs:
                    raise ZeroDivisionError("a store's bug")

        store = Buggy(file)
        store.hangs = True
        async with running(store) as one:
            await eventually(lambda: one.candidate.snapshot().last_error is not None)
            assert one.candidate.snapshot().last_error == "a store's bug"
            store.hangs = False
            await one.until_master()
        await store.close()
        assert "ZeroDivisionError" in caplog.text

    async def test_a_stop_gives_up_after_two_tries(
        self, file: SqliteFile, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with running(file.url) as one:
            await one.until_master()
            file.freeze()
            began = lease_clock()
            await one.candidate.stop()
            assert lease_clock() - began < TTL + 0.5
            assert not one.candidate.is_master()
            file.thaw()
        assert "could not be given up, it runs out within 1 s" in caplog.text


class TestHandOver:
    async def test_the_named_one_takes_it(self, file: SqliteFile) -> None:
        async with running(file.url) as one:
            await one.until_master()
            async with running(file.url, SECOND) as two, running(file.url, THIRD) as three:
                for heir in (three, two, three):
                    giver = next(r for r in (one, two, three) if r.candidate.is_master())
                    given_at = lease_clock()
                    await giver.candidate.hand_over(heir.candidate.service_id)
                    assert not giver.candidate.is_master()
                    await heir.until_master()
                    assert heir.times[-1] - given_at < 1.5 * RENEW + 0.2
                assert [recorder.told for recorder in (one, two, three)] == [
                    [1, None],
                    [3, None],
                    [2, None, 4],
                ]

    async def test_a_hint_makes_the_heir_look_at_once(self, file: SqliteFile) -> None:
        async with running(file.url, ttl=20.0, renew=5.0) as one:
            await one.until_master()
            async with running(file.url, SECOND, ttl=20.0, renew=5.0) as two:
                await eventually(lambda: two.candidate.snapshot().holder is not None)
                await one.candidate.hand_over(SECOND)
                two.candidate.poll_now()
                began = lease_clock()
                await two.until_master()
                assert lease_clock() - began < 1.0

    async def test_to_an_heir_who_is_not_there_it_comes_back(self, file: SqliteFile) -> None:
        async with running(file.url) as one:
            await one.until_master()
            await one.candidate.hand_over(THIRD)
            assert not one.candidate.is_master()
            await one.until_master()
            assert 3 * RENEW - 0.01 <= one.times[-1] - one.times[-2] < 5 * RENEW + 0.2

    async def test_to_itself_changes_nothing(self, file: SqliteFile) -> None:
        async with running(file.url) as one:
            await one.until_master()
            await one.candidate.hand_over(FIRST)
            assert one.candidate.is_master()
            assert one.told == [1]

    async def test_refusals_say_why(self, file: SqliteFile) -> None:
        async with running(file.url) as one:
            await one.until_master()
            async with running(file.url, SECOND) as two:
                with pytest.raises(Refused, match=r"3\.1 is no member of group 2"):
                    await one.candidate.hand_over(ServiceId.of(3, 1))
                await eventually(lambda: two.candidate.snapshot().holder is not None)
                with pytest.raises(Refused, match=r"2\.2 is not master of group 2; 2\.1 is"):
                    await two.candidate.hand_over(SECOND)

    async def test_not_confirmed_by_the_store(self, file: SqliteFile) -> None:
        async with running(file.url) as one:
            await one.until_master()
            file.freeze()
            with pytest.raises(LeaseStoreError, match=r"not handed over to 2\.2"):
                await one.candidate.hand_over(SECOND)
            assert not one.candidate.is_master()
            file.thaw()


async def test_time_spent_asleep_counts(file: SqliteFile) -> None:
    """The machine was suspended: the clock has gone on, the timers have not."""
    asleep_s = 0.0
    async with running(file.url, ttl=40.0, renew=0.2, clock=lambda: lease_clock() + asleep_s) as one:
        await one.until_master()
        asleep_s = 60.0
        assert not one.candidate.is_master()
        assert one.candidate.snapshot().valid_for_s == 0.0
        await one.until(lambda: one.told == [1, None, 2])


async def test_a_router_that_knows_a_higher_epoch(file: SqliteFile) -> None:
    async with running(file.url) as one:
        await one.until_master()
        one.candidate.raise_floor(40)
        await one.until(lambda: one.told == [1, None, 41])


@pytest.mark.parametrize(
    ("store", "times", "message"),
    [
        ("mysql://host/db", {}, "of no known kind"),
        ("sqlite:///lease.db", {"ttl": 1.0, "renew": 0.9}, "renew must be"),
    ],
)
async def test_settings_that_do_not_fit(store: str, times: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Recorder(store, **times)


async def test_stop_without_start_and_twice(file: SqliteFile) -> None:
    recorder = Recorder(file.url)
    await recorder.candidate.stop()
    await recorder.candidate.start()
    await recorder.candidate.stop()
    await recorder.candidate.stop()
    assert recorder.told == []


WATCHED = """
import asyncio, sys
from luabus.lease.candidate import Candidate, lease_clock
from luabus.lease.lease_options import LeaseOptions
from luabus.ids import ServiceId

async def main(url, instance):
    candidate = Candidate(2, ServiceId.of(2, instance), instance, LeaseOptions(url, ttl=1.0, renew=0.1))
    await candidate.start()
    while True:
        before, master, after = lease_clock(), candidate.is_master(), lease_clock()
        print(before, after, candidate.epoch if master else 0, flush=True)
        await asyncio.sleep(0.002)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def test_a_stopped_master_is_none_from_its_first_instant(file: SqliteFile) -> None:
    """SIGSTOP for longer than the ttl, SIGCONT: by both processes' own records there are never two, nor a stale one."""
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", WATCHED, file.url, str(instance), stdout=asyncio.subprocess.PIPE
        )
        for instance in (1, 2)
    ]
    records: list[list[tuple[float, float, int]]] = [[], []]
    changed = asyncio.Event()

    async def listen(index: int) -> None:
        stdout = processes[index].stdout
        assert stdout is not None
        async for line in stdout:
            before, after, epoch = line.split()
            records[index].append((float(before), float(after), int(epoch)))
            changed.set()

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(15):
            while not condition():
                changed.clear()
                await changed.wait()

    listeners = [asyncio.create_task(listen(index)) for index in (0, 1)]
    freezes = 0
    try:
        for _ in range(10):
            if freezes == 3:
                break
            await until(lambda: any(lines and lines[-1][2] for lines in records))
            frozen = next(index for index, lines in enumerate(records) if lines and lines[-1][2])
            other = 1 - frozen
            epoch = records[frozen][-1][2]
            processes[frozen].send_signal(signal.SIGSTOP)
            if file.is_locked():  # stopped in the middle of writing: it keeps everybody out until it goes on
                processes[frozen].send_signal(signal.SIGCONT)
                continue
            await until(lambda other=other: bool(records[other]) and records[other][-1][2] > 0)  # type: ignore[misc]
            processes[frozen].send_signal(signal.SIGCONT)
            continued_at = lease_clock()
            await until(lambda frozen=frozen, at=continued_at: records[frozen][-1][0] > at)  # type: ignore[misc]
            # One line may have been under way when it was stopped: its question was asked before, its answer came after.
            later = [line for line in records[frozen] if line[0] > continued_at]
            assert all(line[2] != epoch for line in later)
            freezes += 1
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
            await process.wait()
        await asyncio.gather(*listeners)
    spans: dict[
        int, tuple[int, float, float]
    ] = {}  # epoch -> who, first and last moment at which it surely was master
    for index, lines in enumerate(records):
        for before, after, epoch in lines:
            if epoch and after - before < 0.1:
                who, first, _ = spans.setdefault(epoch, (index, after, after))
                assert who == index
                spans[epoch] = (index, first, before)
    assert freezes == 3
    assert len(spans) >= 4
    reigns = [spans[epoch] for epoch in sorted(spans)]
    assert all(earlier[2] <= later[1] for earlier, later in itertools.pairwise(reigns))


def test_lease_clock_never_goes_back() -> None:
    times = [lease_clock() for _ in range(1000)]
    assert times == sorted(times)
    if sys.platform == "linux":
        assert abs(lease_clock() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1.0

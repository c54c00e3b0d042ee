"""What goes wrong in a simulated election, decided by the run's seed.

Processes pause (for up to 25 s, also between a decision and its sending), crash, restart, leave, hand over, and are
started twice; the store gets slow, loses messages, refuses or falls silent; wall clocks jump. Mostly one thing after
the other with calm in between, so that the promises about times can be tried; sometimes all at once.
"""

from __future__ import annotations

from collections.abc import Callable

from luabus.lease.elector import Wake
from tests.support.election_world import (
    FAIR,
    FLAKY,
    FOUL,
    HEAVY,
    REFUSING,
    SETTLE_S,
    SILENT,
    SLOW,
    Process,
    Report,
    World,
)

CLEAN_S = 1.5  # a clean stop or hand-over until the next master


class Simulation(World):
    """One run: `Simulation(seed).run()`."""

    def run(self) -> Report:
        """Simulate to the end. Raises `Violation`."""
        count = self.rng.choice((2, 3, 3, 4))
        for number in range(1, count + 1):
            self.at(self.rng.uniform(0.0, 1.5), self.start, number)
        self.at(self.rng.uniform(2.0, 8.0), self.next_episode)
        self.play()
        return self.report

    def next_episode(self) -> None:
        """One thing goes wrong, and then the next."""
        kinds: list[tuple[int, Callable[[], float]]] = [
            (4, self.crash),
            (2, self.clean_stop),
            (2, self.hand_over),
            (4, self.pause_somebody),
            (3, self.bad_weather),
            (3, self.outage),
            (2, self.jump_wall_clocks),
            (3, self.storm),
            (1, self.twin),
        ]
        weights, episodes = zip(*kinds, strict=True)
        (episode,) = self.rng.choices(episodes, weights)
        seconds = episode()
        # Mostly in calm, so that the promises about times are tried; but not always.
        pause = (
            SETTLE_S + self.rng.uniform(0.5, 3.0) if self.rng.random() < 0.7 else self.rng.uniform(0.0, 3.0)
        )
        self.at(self.t + seconds + pause, self.next_episode)

    def master(self) -> Process | None:
        return next((p for p in self.processes if p.is_master(self.t)), None)

    def somebody(self) -> Process | None:
        """Mostly the master."""
        alive = [p for p in self.processes if p.alive]
        if not alive:
            return None
        return self.master() if self.master() and self.rng.random() < 0.7 else self.rng.choice(alive)

    # Each returns how long it takes.

    def crash(self) -> float:
        process = self.somebody()
        if process is None:
            return 0.0
        was_master = process.is_master(self.t)
        process.alive = False
        self.depart(process)
        self.at(self.t + self.rng.uniform(0.2, 20.0), self.start, process.id & 0xFFFF)
        bound = self.ttl + 2 * self.renew + 1
        if was_master:
            self.expect_reign("crash", bound)
        return bound + 0.1

    def clean_stop(self) -> float:
        process = self.somebody()
        if process is None or self.t < process.paused_until:
            return 0.0
        was_master = process.is_master(self.t)
        self.depart(process)
        process.elector.leave()
        if not process.waits_for_store:
            self.step(process, Wake())
        self.at(self.t + self.rng.uniform(3.0, 20.0), self.restart, process)
        if was_master:
            self.expect_reign("clean stop", CLEAN_S)
        return CLEAN_S + 0.1

    def restart(self, process: Process) -> None:
        """Start its successor; if it could not leave by then, it is killed."""
        process.alive = False
        self.start(process.id & 0xFFFF)

    def hand_over(self) -> float:
        process = self.master()
        heirs = [p for p in self.processes if p.alive and p is not process]
        if process is None or not heirs or self.t < process.paused_until:
            return 0.0
        heir = self.rng.choice(heirs)
        self.depart(process)
        process.elector.hand_over(heir.id)
        if not process.waits_for_store:
            self.step(process, Wake())
        if heir.started + SETTLE_S < self.t:
            self.expect_reign("hand-over", CLEAN_S, by=heir)
        return CLEAN_S + 0.1

    def pause_somebody(self) -> float:
        process = self.somebody()
        if process is None:
            return 0.0
        seconds = self.rng.choice((self.rng.uniform(0.1, 3.0), self.rng.uniform(3.0, 25.0)))
        self.pause(process, seconds)
        return seconds

    def bad_weather(self) -> float:
        self.weather = self.rng.choice((SLOW, FLAKY, FOUL, HEAVY))
        seconds = self.rng.uniform(5.0, 25.0)
        self.disturb(seconds + 25.0)
        self.at(self.t + seconds, self.clear_up)
        return seconds

    def clear_up(self) -> None:
        self.weather = FAIR

    def outage(self) -> float:
        self.weather = self.rng.choice((REFUSING, SILENT))
        seconds = self.rng.uniform(1.0, 25.0)
        self.disturb(seconds)
        self.at(self.t + seconds, self.come_back)
        return seconds + self.ttl + 3.1

    def come_back(self) -> None:
        self.weather = FAIR
        self.expect_master(self.ttl + 3.0)

    def jump_wall_clocks(self) -> float:
        for process in self.processes:
            process.wall_offset += self.rng.choice((0.0, 1.0)) * self.rng.uniform(-60.0, 60.0)
        return self.rng.uniform(0.0, 10.0)

    def twin(self) -> float:
        """Somebody is taken for dead and started a second time, with the same id; the first one lives on for a while."""
        process = self.somebody()
        if process is None:
            return 0.0
        seconds = self.rng.uniform(1.0, 25.0)
        self.disturb(seconds)
        self.start(process.id & 0xFFFF)
        self.at(self.t + seconds, self.end, process)
        return seconds

    def end(self, process: Process) -> None:
        if process.alive:
            process.alive = False
            self.depart(process)
            self.disturb()

    def storm(self) -> float:
        """Several things at once."""
        seconds = self.bad_weather()
        for _ in range(self.rng.randint(2, 5)):
            trouble = self.rng.choice(
                (self.pause_somebody, self.pause_somebody, self.crash, self.clean_stop, self.hand_over)
            )
            self.at(self.t + self.rng.uniform(0.0, seconds), trouble)
        self.at(self.t + seconds / 2, self.jump_wall_clocks)
        return seconds

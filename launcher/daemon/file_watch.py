"""`up --watch`: services whose files changed are restarted, for those who work on them.

A service's files are its module and what that imports from the folder of cluster.toml or its own (`plan/module_files.py`), and
the .lua and .toml files in these folders; of a command, the files that its arguments name. A changed cluster.toml or env_file is
a reload. A .py file of which no service is known to be made, and that is no test, restarts them all: something may load it by
name. A file that is no Python as it stands is told, and nothing is restarted before it changes again.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from launcher.plan.module_files import files_of
from launcher.plan.plan import Plan
from launcher.plan.spec import ProcessSpec
from launcher.supervision.operations import Operations
from launcher.supervision.supervisor import Supervisor
from luabus.errors import Refused, explain
from luabus.messages import Message, of_map

WHO: Final[Mapping[str, Any]] = {"by": "up --watch", "from": "command line"}
WATCHED: Final = (".py", ".lua", ".toml")
STEP_MS: Final = 100
"""Files that change within so long of one another belong together: an editor writes several."""
LOOK_MS: Final = 500
"""How often files are looked at where the system does not tell of their changes."""


class FileWatch:
    """Of one running cluster; `run` until it is cancelled."""

    def __init__(self, supervisor: Supervisor, operations: Operations) -> None:
        self._supervisor = supervisor
        self._operations = operations
        self._stale: set[str] = set()
        """Services that are to be restarted, and are not yet: a file is broken."""
        self._broken: set[str] = set()
        self._polls = False

    async def run(self) -> None:
        """Watches; looks anew where to watch after each reload."""
        folders = folders_of(self._supervisor.plan)
        self._say(Message("watch.watches", folders=folders))
        while True:
            try:
                async for changed in self._changes(folders):
                    self._take(changed)
                    if folders_of(self._supervisor.plan) != folders:
                        break
            except OSError as error:
                if self._polls:
                    raise
                self._polls = True
                self._say(Message("watch.cannot", why=error.strerror or str(error)))
            folders = folders_of(self._supervisor.plan)

    async def _changes(self, folders: list[str]) -> AsyncIterator[set[str]]:
        from watchfiles import DefaultFilter, awatch  # for those who ask for it: it takes its time to import

        ignored = set(DefaultFilter.ignore_dirs)

        def concerns(_: Any, path: str) -> bool:
            plan = self._supervisor.plan
            if os.path.realpath(path) in config_files(plan):
                return True
            within = Path(path).parts
            return (
                path.endswith(WATCHED)
                and not ignored.intersection(within)
                and not Path(path).is_relative_to(plan.run_dir)
            )

        async for changes in awatch(
            *folders,
            watch_filter=concerns,
            step=STEP_MS,
            force_polling=self._polls or None,
            poll_delay_ms=LOOK_MS,
        ):
            yield set(_real(path for _, path in changes))

    def _take(self, changed: set[str]) -> None:
        plan = self._supervisor.plan
        settings = changed & config_files(plan)
        code = changed - settings
        affected = services_of(plan, code)
        self._stale |= affected
        self._broken |= {path for path in code if path.endswith(".py")} if affected else set()
        faults = {path: fault for path in self._broken if (fault := fault_of(path)) is not None}
        self._broken = set(faults)
        for path, (line, why) in faults.items():
            self._say(Message("watch.broken", place=f"{self._shown(path)}:{line}", why=why))
        if settings:
            self._supervisor.run_task(self._reload(), "reload of a changed file")
        if not faults and self._stale:
            names = self._running(self._stale)
            self._stale.clear()
            if names:
                self._supervisor.run_task(self._restart(names, code), "restart of what changed")

    def _running(self, services: Collection[str]) -> list[str]:
        """Their processes; not those that somebody stopped, or runs in a terminal."""
        return [
            name
            for name, instance in self._supervisor.instances.items()
            if instance.spec.service in services and instance.machine.wanted and instance.by_hand is None
        ]

    async def _restart(self, names: list[str], files: Iterable[str]) -> None:
        self._say(Message("watch.changed", files=sorted(map(self._shown, files))))
        await self._tell("restart", self._operations.restart(names, WHO))

    async def _reload(self) -> None:
        await self._tell("reload", self._operations.reload(False, WHO))

    async def _tell(self, verb: str, work: Any) -> None:
        """What did not come about; the rest is in the events."""
        try:
            report = await work
        except Refused as error:
            self._say(Message("watch.failed", verb=verb, why=explain(error)))
            return
        if not report["ok"]:
            self._say(Message("watch.failed", verb=verb, why=of_map(report["message"]) or ""))

    def _shown(self, path: str) -> str:
        """As people call it: from the folder of cluster.toml."""
        base = os.path.realpath(self._supervisor.plan.base)
        return os.path.relpath(path, base) if Path(path).is_relative_to(base) else path

    def _say(self, message: Message) -> None:
        self._supervisor.events.add("watch", "", message, WHO)


def _real(paths: Iterable[str]) -> Iterable[str]:
    return map(os.path.realpath, paths)


def config_files(plan: Plan) -> set[str]:
    """The real paths of cluster.toml and every env_file."""
    files = [plan.file, *(plan.base / one.env_file for one in plan.config.services.values() if one.env_file)]
    return {os.path.realpath(file) for file in files}


def folders_of(plan: Plan) -> list[str]:
    """Where the files lie that concern the cluster; none within another."""
    places = {str(plan.base), *(os.path.dirname(file) for file in config_files(plan))}
    places |= {spec.cwd for spec in plan.specs}
    found = sorted(place for place in places if os.path.isdir(place))
    return [
        place
        for place in found
        if not any(place != other and Path(place).is_relative_to(other) for other in found)
    ]


def services_of(plan: Plan, changed: Collection[str]) -> set[str]:
    """The services that these files concern; real paths."""
    specs = {spec.service: spec for spec in plan.specs if spec.service in plan.config.services}
    if not specs or not changed:
        return set()
    made_of = {name: _files(plan, spec) for name, spec in specs.items()}
    known = set[str]().union(*made_of.values())
    affected = {name for name, files in made_of.items() if files & set(changed)}
    for path in set(changed) - known:
        if not path.endswith(".py") or not _is_test(path):
            affected |= {
                name
                for name, spec in specs.items()
                if plan.config.services[name].run is not None and _lies_in(path, (spec.cwd, str(plan.base)))
            }
    return affected


def _files(plan: Plan, spec: ProcessSpec) -> set[str]:
    run = plan.config.services[spec.service].run
    if run is not None:
        return files_of(run, (spec.cwd, str(plan.base)))
    return {
        os.path.realpath(file) for word in spec.argv if os.path.isfile(file := os.path.join(spec.cwd, word))
    }


def _lies_in(path: str, folders: Iterable[str]) -> bool:
    return any(Path(path).is_relative_to(os.path.realpath(folder)) for folder in folders)


def _is_test(path: str) -> bool:
    name, folder = os.path.basename(path), os.path.dirname(path)
    return (
        name.startswith(("test_", "conftest")) or name.endswith("_test.py") or "tests" in Path(folder).parts
    )


def fault_of(path: str) -> tuple[int, str] | None:
    """Line and reason why a file is no Python; None for one that is, or is gone."""
    try:
        with open(path, "rb") as file:
            compile(file.read(), path, "exec", dont_inherit=True)
    except SyntaxError as error:
        return error.lineno or 1, error.msg
    except ValueError as error:
        return 1, str(error)
    except OSError:
        return None
    return None

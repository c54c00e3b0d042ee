"""`python -m benchmarks`: measure, show, and write docs/benchmarks.md."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import click
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import report
from benchmarks.bus import measures
from benchmarks.bus.measures import FULL, MEASURES, MEMORY, QUICK, Scale
from benchmarks.bus.systems import ALL, check
from benchmarks.chart import svg
from benchmarks.children import ROOT, BenchmarkError
from benchmarks.results import Results

NAMES = [*(measure.name for measure in MEASURES), MEMORY]
PAGE = ROOT / "docs/benchmarks.md"
_WIDTH = 150  # of the tables where there is no terminal to ask
PICTURE = ROOT / "docs/benchmarks.svg"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Short samples, and no 10,000 connections: about a minute.")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="Measure this only; may be repeated.")
@click.option(
    "--system",
    "systems",
    multiple=True,
    type=click.Choice(list(ALL)),
    help="Only this system; may be repeated.",
)
@click.option("--rounds", type=click.IntRange(1), help="Samples per system and measure.")
@click.option("--seconds", type=click.FloatRange(0.001), help="How long a sample lasts.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write all samples there."
)
@click.option("--update-docs", is_flag=True, help="Write docs/benchmarks.md and its chart.")
def main(
    quick: bool,
    only: tuple[str, ...],
    systems: tuple[str, ...],
    rounds: int | None,
    seconds: float | None,
    json_file: Path | None,
    update_docs: bool,
) -> None:
    """Measure luabus beside nats-server, a pyzmq broker and bare sockets, on this machine."""
    preset = QUICK if quick else FULL
    scale = Scale(rounds or preset.rounds, seconds or preset.seconds, preset.connections)
    chosen = list(systems or ALL)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    try:
        check(chosen)
        results = measure_all(list(only or NAMES), chosen, scale, console)
    except BenchmarkError as error:
        console.print(f"benchmarks: {error}", markup=False)
        sys.exit(1)
    _show(results, console)
    if json_file is not None:
        json_file.write_text(json.dumps(results.as_json(), indent=1) + "\n", "utf-8")
    if update_docs:
        PAGE.write_text(report.updated(PAGE.read_text("utf-8"), results), "utf-8")
        PICTURE.write_text(svg(results), "utf-8")
        console.print(f"wrote {PAGE} and {PICTURE}")


def measure_all(only: list[str], systems: list[str], scale: Scale, console: Console) -> Results:
    """Everything that was chosen."""
    results = Results(_machine())
    with console.status("starting") as status:
        for measure in MEASURES:
            if measure.name in only and set(measure.systems) & set(systems):
                results.measures[measure.name] = measures.run(measure, systems, scale, status.update)
        if MEMORY in only:
            results.measures[MEMORY] = measures.memory(systems, scale, status.update)
    return results


def _machine() -> dict[str, str]:
    facts = {
        "Python": platform.python_version(),
        "on": f"{platform.system()} {platform.machine()}",
        "with": f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB",
    }
    version = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    if version.returncode == 0:
        facts["at commit"] = version.stdout.strip()
    return facts


def _show(results: Results, console: Console) -> None:
    tables = [
        (report.MEASURE_HEAD, report.measure_rows(results)),
        (report.TARGET_HEAD, report.target_rows(results)),
    ]
    if MEMORY in results.measures:
        tables.insert(1, (report.MEMORY_HEAD, report.memory_rows(results)))
    for head, rows in tables:
        table = Table(*head)
        before = ""
        for row in rows:
            if before and row[0] != before:
                table.add_section()
            table.add_row(*("" if cell == before else cell.replace("**", "") for cell in row))
            before = row[0]
        console.print(table)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")

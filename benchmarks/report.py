"""The report: Markdown for docs/benchmarks.md, and the same tables in the terminal. Pure: text from results."""

from __future__ import annotations

from benchmarks.bus.measures import MEASURES, MEMORY, Measure
from benchmarks.bus.systems import ALL
from benchmarks.bus.targets import TARGETS
from benchmarks.results import Results

Row = list[str]

BEGIN = "<!-- figures: `make bench ARGS=--update-docs` writes what stands between these lines -->"
END = "<!-- end of figures -->"


def number(value: float) -> str:
    """Three digits that count: 1.34 M, 96.1 k, 430, 0.42."""
    for limit, unit, scale in ((1e6, " M", 1e6), (1e4, " k", 1e3)):
        if value >= limit:
            return f"{value / scale:.3g}{unit}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def size(value: float) -> str:
    """Bytes in KiB or MiB."""
    return f"{value / 1024:.1f} KiB" if value < 1 << 20 else f"{value / (1 << 20):.1f} MiB"


def target_rows(results: Results) -> list[Row]:
    """Target, what was measured, verdict."""
    words = {True: "kept", False: "**missed**", None: "-"}
    rows = []
    for target in TARGETS:
        verdict = target.judge(results)
        rows.append([target.text, verdict.found, words[verdict.kept]])
    return rows


def measure_rows(results: Results) -> list[Row]:
    """Measure, system, figure, ratio to luabus' best peer, further figures."""
    return [
        _row(results, measure, system)
        for measure in MEASURES
        for system in results.measures.get(measure.name, {})
    ]


def _row(results: Results, measure: Measure, system: str) -> Row:
    main = measure.main
    ratio = ""
    if system != "luabus" and results.has(measure.name, "luabus"):
        found = results.ratio(measure.name, main, "luabus", system)
        ratio = f"{found:.2f}"
    samples = results.measures[measure.name][system]
    values = [sample[main] for sample in samples]
    sample = samples[0]
    trip = ""
    if "p50_us" in sample:
        p50, p99 = (results.middle(measure.name, system, name) for name in ("p50_us", "p99_us"))
        trip = f"{number(p50)} / {number(p99)}"
    return [
        measure.title,
        ALL[system].title,
        f"{number(results.middle(measure.name, system, main))} {measure.unit}",
        f"{number(min(values))} .. {number(max(values))}",
        ratio,
        f"{results.middle(measure.name, system, 'cpu_us'):.3g}" if "cpu_us" in sample else "",
        trip,
    ]


MEASURE_HEAD: Row = [
    "measure", "system", "median", "lowest .. highest", "luabus / this", "CPU us per message", "p50 / p99 us",
]  # fmt: skip
TARGET_HEAD: Row = ["target", "measured", ""]
MEMORY_HEAD: Row = [
    "router memory (RSS)",
    *(ALL[name].title.partition(",")[0] for name in ("luabus", "nats")),
]


def memory_rows(results: Results) -> list[Row]:
    """Idle, per connection, and beside a receiver that does not read."""
    found = results.measures.get(MEMORY, {})
    columns = [found[name][0] if name in found else {} for name in ("luabus", "nats")]
    titles = {"idle": "idle", "slow_consumer": "grown beside a receiver that stopped reading"}
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = []
    for name in names:
        title = titles.get(name) or f"per idle connection, {int(name.rpartition('_')[2]):,} of them"
        rows.append([title, *(size(column[name]) if name in column else "" for column in columns)])
    return rows


def markdown(results: Results) -> str:
    """The part of docs/benchmarks.md that a run writes."""
    facts = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    parts = [BEGIN, f"Measured on: {facts}.", _table(TARGET_HEAD, target_rows(results))]
    parts += ["![luabus beside its peers](benchmarks.svg)", _table(MEASURE_HEAD, measure_rows(results))]
    if MEMORY in results.measures:
        parts.append(_table(MEMORY_HEAD, memory_rows(results)))
    return "\n\n".join([*parts, END])


def _table(head: Row, rows: list[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def updated(page: str, results: Results) -> str:
    """`page` with this run's figures in the place of the former ones."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r}")
    return before + markdown(results) + after

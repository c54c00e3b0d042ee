"""Status and routing tables as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from launcher.cli.terminal import Style, table
from luabus.messages import Message
from luabus.quantities import format_duration, format_share, format_size
from luabus.visible import visible_values

_VACANT_NAMED: Final = 4

MOST_EXIT: Final = 40
"""Letters of how a process ended that a table shows; the list of what is wrong has all."""


def ended_how(text: str) -> str:
    """How a process ended, for a cell; what is cut off of it is marked."""
    return text if len(text) <= MOST_EXIT else text[: MOST_EXIT - 1] + "…"


def shown_state(process: Mapping[str, Any]) -> str:
    """The state of a row, or what somebody did by hand to a process that lives, or what `Process.shown_state` makes of it."""
    held = process.get("held")
    if held and process["pid"] and process["wanted"] is not False:
        return str(held)
    if process.get("stuck"):
        return "waiting"
    done = process.get("completed") and not process.get("daemon") and process["wanted"] is not False
    return "done" if done and process["state"] == "exited" else str(process["state"])


def status_text(status: Mapping[str, Any], style: Style) -> str:
    """The cluster, then one row per process, then what is wrong."""
    status = visible_values(status)
    rows = status["processes"]
    up = sum(1 for row in rows if row["state"] == "running")
    health = status["health"]
    head = (
        f"{style(str(status['cluster']), 'bold')} is {style.state(str(status['state']))}: "
        f"{up} of {len(rows)} processes run, up {format_duration(status['uptime_s'])}, launcher pid {status['pid']}"
    )
    routers = status["routers"]
    connected = sum(1 for router in routers if router["connected"])
    masters = ", ".join(
        f"{name} {master or style('none', 'red')}" for name, master in status["masters"].items()
    )
    lines = [head, f"routers: {connected} of {len(routers)} connected; masters: {masters or 'none'}"]
    keys = status.get("keys", {})  # a launcher that was started before an upgrade does not tell
    if keys:
        lines.append("keys: " + "; ".join(_sharers(name, shares) for name, shares in keys.items()))
    if status["dashboard"]:
        lines.append(f"dashboard: {status['dashboard']} (`luabus-cluster token` prints the login URL)")
    lines += ["", processes_text(status, style)]
    if health["problems"]:
        lines += ["", *(f"! {problem['text']}" for problem in health["problems"])]
    return "\n".join(lines)


def part_text(status: Mapping[str, Any], style: Style) -> str:
    """Some of the processes, and what is wrong with them."""
    status = visible_values(status)
    problems = [f"! {problem['text']}" for problem in status["health"]["problems"]]
    return "\n".join([processes_text(status, style), *([""] if problems else []), *problems])


def _sharers(name: str, shares: Mapping[str, float | None]) -> str:
    """Who shares the keys of a group, and who would: `mail among 2 of 3 (vacant: mail.2)`."""
    vacant = [one for one, share in shares.items() if share is None]
    more = f", … (+{len(vacant) - _VACANT_NAMED})" if len(vacant) > _VACANT_NAMED else ""
    absent = f" of {len(shares)} (vacant: {', '.join(vacant[:_VACANT_NAMED])}{more})" if vacant else ""
    return f"{name} among {len(shares) - len(vacant)}{absent}"


def processes_text(status: Mapping[str, Any], style: Style) -> str:
    """The table of processes; with each one's share of the keys, if there are groups that are reached by key."""
    shares = {
        name: share or 0.0 for group in status.get("keys", {}).values() for name, share in group.items()
    }
    keys_head = ("KEYS",) if shares else ()
    heads = (
        "NAME", "ID", "STATE", "READY", "PID", "UPTIME", "CPU%", "RSS", *keys_head, "RESTARTS", "LAST EXIT",
    )  # fmt: skip
    cells = []
    for row in status["processes"]:
        lives = row["pid"] is not None
        state = style.state(shown_state(row))
        cells.append(
            (
                str(row["name"]),
                str(row["service_id"] or "-"),
                state,
                (style("yes", "green") if row["ready"] else style("no", "yellow")) if lives else "-",
                str(row["pid"]) if lives else "-",
                format_duration(row["uptime_s"]) if lives else "-",
                f"{row['cpu_percent']:.1f}" if lives else "-",
                format_size(row["rss_bytes"]) if lives else "-",
                *((format_share(shares.get(row["name"])),) if shares else ()),
                str(row["restarts"]),
                ended_how(str(row["exit"]["text"])) if row["exit"] else "-",
            )
        )
    return table(style, heads, cells, right=tuple(range(4, len(heads) - 1)))


def routes_text(routes: Mapping[str, Any], style: Style) -> str:
    """Every router's table; one table for all when they agree."""
    routes = visible_values(routes)
    routers = routes["routers"]
    if not routers:
        return "no router is connected"
    names = ", ".join(router["router"] for router in routers)
    if routes["consistent"] and len(routers) > 1:
        agree = style("agree", "green")
        return f"{names} {agree} (tokens as {routers[0]['router']} has them)\n\n{_router_text(routers[0], style)}"
    listed = [router["router"] for router in routers]
    namesakes = sorted({name for name in listed if listed.count(name) > 1})
    parts = [
        style(str(Message("alarm.two-routers-one-name", router=name)), "bold", "red") for name in namesakes
    ]
    if not routes["consistent"] and not namesakes:
        parts.append(style("the routers do not agree", "bold", "red"))
    parts += [f"{style(router['router'], 'bold')}\n{_router_text(router, style)}" for router in routers]
    return "\n\n".join(parts)


def _router_text(router: Mapping[str, Any], style: Style) -> str:
    rows = []
    for group in router["groups"]:
        name = f"{group['name'] or '-'} ({group['group']})"
        for slot in group["slots"] or [None]:
            if slot is None:
                rows.append((name, "-", "-", "-", style("nobody", "dim"), "-"))
                continue
            master = (
                style("master", "cyan") + f" (epoch {group['epoch']})"
                if slot["service_id"] == group["master"]
                else ""
            )
            token = style("vacant", "yellow") if slot["token"] == 0 else str(slot["token"])
            rows.append(
                (
                    name,
                    slot["service_id"],
                    slot["name"] or "-",
                    format_share(slot.get("share")),
                    token,
                    master,
                )
            )
            name = ""
    return (
        table(style, ("GROUP", "ID", "NAME", "KEYS", "TOKEN", ""), rows, right=(3,)) if rows else "no groups"
    )


def connections_text(rows: Sequence[Mapping[str, Any]], style: Style) -> str:
    """A row for each connection of each router."""
    rows = visible_values(rows)
    if not rows:
        return "no connections"
    heads = ("ROUTER", "TOKEN", "NAME", "ID", "FROM", "UP", "RTT", "IDLE", "WAITING", "IN", "OUT")
    cells = [
        (
            str(row["router"]),
            str(row["token"]),
            str(row["name"] or "-"),
            str(row["service_id"] or "-"),
            str(row["peer"]),
            format_duration(row["connected_s"]),
            "-" if row["rtt_ms"] is None else f"{row['rtt_ms']:.1f} ms",
            format_duration(row["idle_s"]),
            format_size(row["pending_bytes"]) if row["pending_bytes"] else "-",
            f"{row['messages_in']} ({format_size(row['bytes_in'])})",
            f"{row['messages_out']} ({format_size(row['bytes_out'])})",
        )
        for row in rows
    ]
    return table(style, heads, cells, right=(1, 5, 6, 7, 8, 9, 10))

"""The command line as a whole: help that teaches, typing errors that are understood, JSON where state is printed."""

from __future__ import annotations

import re

import click
import pytest

from launcher.__main__ import run
from launcher.cli.main import SECTIONS, cli
from tests.launcher.harness import ROOT, ClusterRun

VERBS = [verb for _, verbs in SECTIONS.values() for verb in verbs]
GROUPS = {"lease", "secret"}  # of verbs
SHOWS_STATE = set(VERBS) - {"top", "run", "init", "completion"} - GROUPS


def test_every_promised_verb_is_there() -> None:
    promised = (
        "up down status routes logs start stop restart pause resume kill scale reload check register promote call"
        " top token init secret run env events connections close"
    )
    assert {*VERBS} == {*promised.split(), "completion", *GROUPS}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_or_an_explanation(cluster: ClusterRun, verb: str) -> None:
    done = cluster(verb, "--help")
    assert done.code == 0
    text = done.out.partition("Options:")[0]
    assert len(text.split()) > 12, text
    assert ("--json" in done.out) is (verb in SHOWS_STATE)


def test_the_whole_help_is_by_section_and_nothing_is_cut_off(cluster: ClusterRun) -> None:
    out = cluster("--help").out
    assert all(f"{heading}:" in out for heading in SECTIONS)
    assert all(f"  {verb} " in out for verb in VERBS)
    assert "..." not in out.partition("Options:")[2]
    assert "2    bad usage or configuration; a name that nobody has is bad usage" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["staus"], 'there is no verb "staus"; did you mean "status"?'),
        (["frobnicate"], 'there is no verb "frobnicate"; allowed: call, check,'),
        (["status", "--jsno"], 'status: there is no option "--jsno"; did you mean "--json"?'),
        (["scale", "mail"], "found 'mail'; allowed: SERVICE=N, such as mail=5"),
        (["scale", "mail=-1"], "found 'mail=-1'"),
        (["restart"], "restart: NAME... is missing; `luabus-cluster restart --help` explains it"),
        (["call", "-t", "0", "random:x", "y"], "call: --timeout: found 0.0; allowed: numbers from 0.001"),
        (["logs", "-n", "-1"], "logs: --lines: found -1; allowed: whole numbers from 0 to 10000"),
        (["logs", "-n", "x"], "logs: --lines: found 'x'; allowed: whole numbers"),
        (["logs", "-n"], "-n needs a value"),
        (["lease"], "lease: a verb is missing; allowed: repair"),
        (["secret", "rotat"], 'secret: there is no verb "rotat"; did you mean "rotate"?'),
        (["completion", "csh"], "completion: "),
        (["init", "a", "b"], "init: "),
        (["--nonsense"], 'there is no option "--nonsense"'),
    ],
)
def test_typing_errors_end_with_2(cluster: ClusterRun, words: list[str], said: str) -> None:
    done = cluster(*words)
    assert (done.code, said in done.err) == (2, True), done
    assert all(line.startswith("luabus-cluster: ") for line in done.err.splitlines()), done.err
    answer = cluster(*words[:1], "--json", *words[1:])
    assert answer.code == 2
    if words[0] not in ("--nonsense", "completion", "init"):
        assert answer.json["ok"] is False
        assert answer.json["error"]["type"] == "UsageError"
        assert answer.json["error"]["message"] == answer.json["text"]


@pytest.mark.parametrize("words", ["check", "status", "lease repair", "secret client", "call random:x y"])
def test_the_file_may_be_named_behind_the_verb(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*words.split(), "-c", "/nowhere/cluster.toml"]) == 2
    assert "/nowhere/cluster.toml: there is no such file" in capsys.readouterr().err


def test_no_verb_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    out, err = capsys.readouterr()
    assert "Starting and stopping" in out
    assert err.startswith("luabus-cluster: a verb is missing; allowed: ")


def test_verbs_are_imported_when_they_are_used() -> None:
    assert set(cli.list_commands(None)) == set(VERBS)  # type: ignore[arg-type]


def test_the_page_for_scripts_lists_every_verb_and_every_option() -> None:
    page = (ROOT / "docs/command-line.md").read_text()
    rows = [
        line
        for line in page.partition("## Verbs")[2].partition("\n## ")[0].splitlines()
        if line.startswith("| `")
    ]
    shown = {word for row in rows for word in re.findall(r"[\w-]+", row.split(" | ")[0])}
    context = click.Context(cli)
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        assert verb in shown, f"{verb} is not in docs/command-line.md"
        inner = [*command.commands.values()] if isinstance(command, click.Group) else [command]
        for one in inner:
            for option in one.params:
                if isinstance(option, click.Option) and not option.hidden and "--json" not in option.opts:
                    names = {name.lstrip("-") for name in option.opts}
                    assert names & {word.lstrip("-") for word in shown} or verb in UNLISTED, (
                        verb,
                        option.opts,
                    )


UNLISTED = {"top"}
"""Verbs whose options are for people alone."""

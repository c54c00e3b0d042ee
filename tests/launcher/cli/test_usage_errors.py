"""What click refuses, told as we tell errors; as typed: test_main.py."""

from __future__ import annotations

import click
import pytest

from launcher.cli.usage_errors import VerbGroup, sentence_of
from launcher.errors import UsageError


@click.group(cls=VerbGroup)
def program() -> None:
    pass


@program.command()
@click.argument("name")
@click.option("--count", type=click.IntRange(1, 9))
@click.option("--kind", type=click.Choice(["a", "b"]))
@click.option("--yes", is_flag=True)
@click.option("--hidden", is_flag=True, hidden=True)
def verb(name: str, count: int, kind: str, yes: bool, hidden: bool) -> None:
    pass


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "a verb is missing; allowed: verb; `p --help` explains it"),
        ("verb", "verb: NAME is missing; `p verb --help` explains it"),
        ("verb x --cuont 1", 'verb: there is no option "--cuont"; did you mean "--count"?'),
        ("verb x -q", 'verb: there is no option "-q"; allowed: --count, --help, --kind, --yes; '),
        ("verb x --count 10", "verb: --count: found 10; allowed: whole numbers from 1 to 9; "),
        ("verb x --count two", "verb: --count: found 'two'; allowed: whole numbers from 1 to 9; "),
        ("verb x --kind c", "verb: --kind: 'c' is not one of 'a', 'b'; "),
        ("verb x --count", "--count needs a value; "),
        ("verb x y", "verb: got unexpected extra argument (y); "),
        ("verb x --yes=1", "option '--yes' does not take a value; "),
    ],
)
def test_a_sentence_of_ours(words: str, said: str) -> None:
    with pytest.raises(click.ClickException) as caught:
        program.main(words.split(), prog_name="p", standalone_mode=False)
    assert sentence_of(caught.value).startswith(said)
    assert "\n" not in sentence_of(caught.value)


@pytest.mark.parametrize("words", ["verb x --count", "verb x --yes=1"])
def test_the_verb_is_named_where_click_does_not_know_it(words: str) -> None:
    with pytest.raises(click.ClickException) as caught:
        program.main(words.split(), prog_name="p", standalone_mode=False)
    said = sentence_of(caught.value, words.split(), program)
    assert said.startswith("verb: ")
    assert "`luabus-cluster verb --help`" in said


def test_a_verb_that_there_is_not() -> None:
    with pytest.raises(UsageError, match='there is no verb "vreb"; did you mean "verb"'):
        program.main(["vreb"], prog_name="p", standalone_mode=False)


def test_what_was_typed_stays_in_its_line() -> None:
    with pytest.raises(click.ClickException) as caught:
        program.main(["verb", "x", "--kind", "a\nb\x1b[31m"], prog_name="p", standalone_mode=False)
    assert sentence_of(caught.value).isprintable()

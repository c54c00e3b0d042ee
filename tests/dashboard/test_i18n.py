"""Everything that is told has a code, and every code a text in every language."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import dashboard.app  # noqa: F401 - enters the endpoints into the table
from dashboard.api.openapi import document
from dashboard.i18n import CATALOGUES, LANGUAGES, choose_language, word
from dashboard.views import api_reference
from luabus.cluster.verbs import VERBS, Takes, launchers
from luabus.messages import Message, known_codes
from tests.support.imports import PACKAGES, ROOT

CODE = re.compile(r"[a-z]+\.(?!html$)[a-z0-9-]*[a-z0-9]")
MADE = re.compile(
    r"(word|invalid|signal|state|kind|told)\.|health\.was-[a-z]+-by$|run\.is-[a-z]+$"
    r"|process\.(another-in-[a-z]+|[a-z]+-probe-fails)$"
)
"""Codes that are put together from the name of a state, verb, deed or check."""


def catalogue(language: str) -> dict[str, str]:
    """All templates of one language by code."""
    shared = json.loads((ROOT / "luabus/messages.en.json").read_text("utf-8")) if language == "en" else {}
    return shared | json.loads((CATALOGUES / f"{language}.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", "en"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en-GB,zh;q=0.5", "en"), ("fr,zh;q=0.1", "zh"),
        ("zh;q=0", "en"), ("zh;q=oops", "en"), ("*", "en"), ("en;q=0.2, zh;q=0.9", "zh"),
    ],
)  # fmt: skip
def test_the_language_is_the_browsers_first_that_we_know(header: str, chosen: str) -> None:
    assert choose_language(header) == chosen


def codes_in_python(path: Path) -> Iterator[str]:
    """Codes given to `Message` or to whoever makes one; of a choice between codes, each."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        code = node.value if isinstance(node, ast.Constant) else None
        if isinstance(code, str) and CODE.fullmatch(code) and code.split(".")[0] in PREFIXES:
            yield code


PREFIXES = {code.split(".")[0] for code in catalogue("zh")}


def codes_of_verbs() -> set[str]:
    """What the doors say of each verb; the command line alone has those without a role."""
    codes = {verb.audit for verb in launchers()} | {
        verb.help for verb in launchers() if verb.takes is not Takes.NOTHING
    }
    pages = [verb for verb in VERBS if verb.role is not None]
    codes |= {verb.summary for verb in pages} | {verb.label for verb in pages if verb.offered}
    return codes | {verb.service_label for verb in pages if verb.offered and verb.of_service}


def codes_in_use() -> set[str]:
    codes = {
        code
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for code in codes_in_python(path)
    }
    codes |= codes_of_verbs()
    for path in (ROOT / "dashboard/templates").iterdir():
        quoted = re.findall(r"""\b_\(\s*["']([a-z]+\.[a-z0-9-]+)["']""", path.read_text("utf-8"))
        codes |= set(quoted)
    for path in (ROOT / "dashboard/static").glob("*.js"):
        codes |= set(
            re.findall(r"""["'`]([a-z]+\.[a-z0-9-]+)["'`]""", path.read_text("utf-8"))
        ) & known_codes("en")
    return codes


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_has_a_text_in_every_language(language: str) -> None:
    codes = codes_in_use()
    assert len(codes) > 300
    assert codes - catalogue(language).keys() == set()


def test_every_message_is_given_a_code_and_no_sentence() -> None:
    sentences = []
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Message" and node.args:
                    constants = [one for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant)]
                    sentences += [
                        f"{path.name}:{one.lineno}: {one.value}" for one in constants if " " in str(one.value)
                    ]
    assert sentences == []


def test_no_text_is_left_that_nobody_tells() -> None:
    unused = {code for code in catalogue("zh").keys() - codes_in_use() if not MADE.match(code)}
    assert unused == set()


def test_the_languages_have_the_same_codes_and_values() -> None:
    english, chinese = catalogue("en"), catalogue("zh")
    assert english.keys() ^ chinese.keys() == set()
    for code, text in english.items():
        # Only English counts "the 3rd time" with a word of its own; the number is given as well.
        values = {{"nth": "n"}.get(name, name) for name in re.findall(r"{(\w+)}", text)}
        assert values == set(re.findall(r"{(\w+)}", chinese[code])), code


def test_a_code_has_one_text_in_one_place() -> None:
    shared = json.loads((ROOT / "luabus/messages.en.json").read_text("utf-8"))
    own = json.loads((CATALOGUES / "en.json").read_text("utf-8"))
    assert shared.keys() & own.keys() == set()


def test_a_word_without_a_text_stays_as_it_is() -> None:
    assert (word("stop").to("zh"), word("mail").to("zh")) == ("停止", "mail")
    assert word("not ready").code == "word.not-ready"


def test_an_error_that_is_told_carries_a_message() -> None:
    """Not words in one language: whoever asks is answered in his own."""
    told = ("ApiError", "Invalid", "bad_input")
    plain = []
    for path in (ROOT / "dashboard").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in told:
                plain += [
                    f"{path.name}:{one.lineno}"
                    for one in node.args
                    if isinstance(one, ast.JoinedStr)
                    or (isinstance(one, ast.Constant) and " " in str(one.value))
                ]
    assert plain == []


def test_a_message_in_another_language() -> None:
    assert Message("ui.log-in").to("zh") != Message("ui.log-in").to("en") == Message("ui.log-in").to("tlh")


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_api_page_says_is_said_in_every_language(language: str) -> None:
    codes: set[str] = set()
    for tag, operations in api_reference.by_tag(document()):
        codes |= {word(tag).code, *(one.summary for one in operations)}
        codes |= {text for one in operations for _, text in one.answers}
        codes |= {one.text for operation in operations for one in operation.parameters if one.text}
    assert codes - catalogue(language).keys() == set()

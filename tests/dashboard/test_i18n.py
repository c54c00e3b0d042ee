from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

import dashboard.app  # noqa: F401 - enters the endpoints into the table
from dashboard.api.openapi import document
from dashboard.http.registry import CHECKS
from dashboard.i18n import CATALOGUES, REASONS, Text, choose_language, reason, recognised, unpacked
from dashboard.views import api_reference
from dashboard.views.audit_texts import NOTES

SOURCES = Path(__file__).parents[2] / "dashboard"


def test_a_text_is_its_template_with_its_values() -> None:
    inner = Text("{count} more", count=2)
    assert str(Text("{name} and {rest}", name="mail.1", rest=inner)) == "mail.1 and 2 more"
    assert Text("a {b}", b=1) == Text("a {b}", b=1)
    assert len({Text("a {b}", b=1), Text("a {b}", b=1), Text("a {b}", b=2)}) == 2


def test_a_value_with_braces_is_no_template() -> None:
    assert str(Text("{name} runs", name="{evil}")) == "{evil} runs"


def test_what_has_no_values_is_no_template() -> None:
    assert Text("'{x}' is not a column").to("zh") == "'{x}' is not a column"


def test_an_unknown_language_falls_back_to_english() -> None:
    assert Text("Log in").to("tlh") == "Log in"


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", "en"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en-GB,zh;q=0.5", "en"), ("fr,zh;q=0.1", "zh"),
        ("zh;q=0", "en"), ("zh;q=oops", "en"), ("*", "en"), ("en;q=0.2, zh;q=0.9", "zh"),
    ],
)  # fmt: skip
def test_the_language_is_the_browsers_first_that_we_know(header: str, chosen: str) -> None:
    assert choose_language(header) == chosen


@pytest.mark.parametrize("language", sorted(CATALOGUES))
def test_translations_use_the_same_values(language: str) -> None:
    for english, text in CATALOGUES[language].items():
        # Only English counts "the 3rd time" with a word of its own; the number is given as well.
        values = {{"nth": "n"}.get(name, name) for name in re.findall(r"{(\w+)}", english)}
        assert values == set(re.findall(r"{(\w+)}", text)), english


def test_a_text_is_packed_and_unpacked_with_the_texts_in_it() -> None:
    inner = Text("{count} more", count=2)
    text = Text("{name} and {rest}", name="mail.1", rest=inner)
    assert unpacked(json.loads(json.dumps(text.packed()))) == text


@pytest.mark.parametrize(
    "said",
    [
        None, "text", 5, [], {}, {"template": "{a} runs"},
        {"template": "{a.b}", "values": {"a": 1}}, {"template": "{", "values": {"a": 1}},
    ],
)  # fmt: skip
def test_what_was_not_packed_is_not_unpacked(said: object) -> None:
    assert unpacked(said) is None


def test_a_text_is_recognised_and_that_of_others_left_as_it_is() -> None:
    templates = ("close {name} at {router}", "close {name}")
    assert recognised("close mail.1 at router.2", templates).values == {
        "name": "mail.1",
        "router": "router.2",
    }
    assert recognised("close mail.1", templates).template == "close {name}"
    for foreign in ("shut mail.1", "please close mail.1", "close ", "a {brace} in it", ""):
        assert str(recognised(foreign, templates)) == foreign
        assert recognised(foreign, templates).to("zh") == foreign


def test_why_the_launcher_does_not_answer_is_said_in_chinese_where_it_is_ours_to_say() -> None:
    assert (
        reason("/run/control.json does not exist: no launcher runs")
        .to("zh")
        .startswith("/run/control.json 不")
    )
    assert reason("Connection refused").to("zh") == "Connection refused"


def test_an_error_that_is_told_carries_a_text() -> None:
    """Not words in one language: whoever asks is answered in his own."""
    told = ("ApiError", "Declined", "Unfit", "bad_input")
    plain = []
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in told:
                plain += [
                    f"{path.name}:{one.lineno}"
                    for one in node.args
                    if isinstance(one, ast.JoinedStr)
                    or (isinstance(one, ast.Constant) and " " in str(one.value))
                ]
    assert plain == []


def texts_in_the_sources() -> set[str]:
    """Every text that is written in English in code, templates and scripts."""
    found: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Text" and node.args:
                constants = [one.value for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant)]
                found |= {one for one in constants if isinstance(one, str) and one != "bad"}
    for path in (SOURCES / "templates").iterdir():
        quoted = re.findall(r"""\b_\(\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""", path.read_text("utf-8"))
        found |= {ast.literal_eval(one) for one in quoted}
    for path in (SOURCES / "static").glob("*.js"):
        found |= {
            json.loads(one) for one in re.findall(r'\bsay\(("(?:[^"\\]|\\.)*")', path.read_text("utf-8"))
        }
    return found


def test_everything_is_said_in_every_language() -> None:
    texts = texts_in_the_sources() | {*CHECKS, *NOTES, *REASONS}
    assert len(texts) > 200
    for language, catalogue in CATALOGUES.items():
        assert texts - catalogue.keys() == set(), language


@pytest.mark.parametrize("language", sorted(CATALOGUES))
def test_what_the_api_page_says_is_said_in_every_language(language: str) -> None:
    said: set[str] = set()
    for tag, found in api_reference.by_tag(document()):
        said |= {tag, *(one.summary for one in found), *(text for one in found for _, text in one.answers)}
        parameters = [parameter for one in found for parameter in one.parameters]
        said |= {text for one in parameters for text in (one.text, one.type, one.where) if text}
    assert said - CATALOGUES[language].keys() == set()

"""The documents: links lead somewhere, the two READMEs show the same code, and that code does what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.imports import ROOT

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"(?:\]\(|src=\"|srcset=\")(?!https?://|#)([^)#\s\"]+)")


def blocks(document: Path, language: str = r"\w*") -> list[str]:
    """The fenced code blocks of a document, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = LINK.findall(document.read_text("utf-8"))
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_the_index_of_the_docs_names_every_page() -> None:
    listed = set(LINK.findall((ROOT / "docs/README.md").read_text("utf-8")))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} <= listed


def test_both_languages_show_the_same_code() -> None:
    assert blocks(ROOT / "README.md") == blocks(ROOT / "README.zh.md")


def test_the_readme_opens_with_the_two_commands() -> None:
    for document in (ROOT / "README.md", ROOT / "README.zh.md"):
        commands = re.findall(r"^    make (\w+)", document.read_text("utf-8"), re.MULTILINE)
        assert commands[:2] == ["up", "test"]

from __future__ import annotations

from dashboard.pages.templating import environment, prepare


def test_every_template_compiles() -> None:
    prepare()
    assert {"overview.html", "try.html", "api.html"} <= set(environment().list_templates())

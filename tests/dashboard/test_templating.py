from __future__ import annotations

from dashboard.templating import assets_version, environment, prepare


def test_every_template_compiles() -> None:
    prepare()
    assert {"overview.html", "try.html", "api.html"} <= set(environment().list_templates())


def test_the_mark_of_the_assets_is_stable() -> None:
    assert assets_version() == assets_version.__wrapped__()

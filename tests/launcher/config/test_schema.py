"""The models: defaults are themselves valid, nothing is converted behind one's back."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from launcher.config.cross_checks import faults
from launcher.config.schema import ClusterConfig


def test_the_defaults_are_right() -> None:
    config = ClusterConfig()
    assert ClusterConfig.model_validate(config.model_dump()) == config
    assert list(faults(config)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"routers": {"count": "2"}},
        {"routers": {"count": 1.0}},
        {"cluster": {"name": 5}},
        {"dashboard": {"enabled": 1}},
        {"services": {"a": {"command": ["x"], "restart": {"jitter": 2}}}},
        {"bus": {"frame_limit": 10}},
        {"bus": {"frame_limit": "2G"}},
    ],
)
def test_wrong_types_and_values_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ClusterConfig.model_validate(wrong)


def test_words_for_sizes_signals_and_levels() -> None:
    service = {"command": ["x"], "max_rss": "1MB", "log_level": "debug", "restart": {"stop_signal": "int"}}
    config = ClusterConfig.model_validate(
        {"services": {"a": service}, "bus": {"frame_limit": "4MB", "compress_above": "1K"}}
    )
    assert (config.services["a"].max_rss, config.services["a"].log_level) == (1 << 20, "DEBUG")
    assert (config.bus.frame_limit, config.bus.compress_above) == (4 << 20, 1024)


def test_it_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError):
        ClusterConfig().cluster.name = "other"

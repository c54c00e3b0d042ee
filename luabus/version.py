"""The version, for people and for pyproject.toml."""

from typing import Final

VERSION: Final = "0.1.0"

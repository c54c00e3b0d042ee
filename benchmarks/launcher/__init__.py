"""The launcher: start, memory, fail-over."""

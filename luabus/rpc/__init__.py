"""Handlers: found, checked, run, answered, counted."""

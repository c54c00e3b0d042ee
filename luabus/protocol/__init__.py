"""Bytes and values, decisions in time: no input or output, no clock, no chance."""

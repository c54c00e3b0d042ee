"""Instances kept as they are wanted: decided here, done by a backend."""

"""The dashboard under load, and its first page."""

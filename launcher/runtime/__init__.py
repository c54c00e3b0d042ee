"""The files of a running cluster, and the streams of its output."""

"""What a cluster is, for whoever shows or steers it: launcher and dashboard both."""

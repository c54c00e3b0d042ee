"""cluster.toml: read, checked, explained."""

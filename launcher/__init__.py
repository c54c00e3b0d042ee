"""The launcher: `cluster.toml` -> supervised processes; the `luabus-cluster` command."""

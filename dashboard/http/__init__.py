"""HTTP: callers and roles, the table of endpoints, problem documents."""

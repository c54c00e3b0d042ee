"""The verbs of `luabus-cluster`, one module per kind. Each is imported when one of its verbs is used."""

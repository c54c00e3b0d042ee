"""A program on the bus: its routers, and the five routes through one of them."""

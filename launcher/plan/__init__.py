"""A configuration as processes to run, and what differs between two of them."""

"""The process in the middle: the routing table, served."""

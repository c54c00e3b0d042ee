"""The stores that leases lie in, behind one interface."""

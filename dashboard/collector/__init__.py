"""Collection: polls routers, services and the launcher, and keeps snapshots, events and time series."""

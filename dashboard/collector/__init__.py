"""What the dashboard knows: collected from routers, services and the launcher, and kept."""

"""Pages, static files, login, and the middleware in front of them."""

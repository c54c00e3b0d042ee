"""A client with handlers, an id and perhaps a lease."""

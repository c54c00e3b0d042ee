"""Views: snapshots in the shapes that pages and answers show. Pure."""

"""What is known, put as it is shown. Pure."""

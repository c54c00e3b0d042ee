"""`luabus-cluster top`: a live view in the terminal."""

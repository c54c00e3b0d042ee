"""Who is where, and the loop that passes frames on. Pure, as `protocol` is."""

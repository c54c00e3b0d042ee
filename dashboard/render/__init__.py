"""From what is known to what is shown: pure functions, one small file per view. No I/O, no clock."""

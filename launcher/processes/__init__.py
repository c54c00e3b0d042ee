"""Processes of an operating system: started, signalled, measured, found again."""

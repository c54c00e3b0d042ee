"""The process that supervises: its life, its signals, its control channel."""

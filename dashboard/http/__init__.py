"""HTTP as every endpoint needs it: who asks, the table of endpoints, problems."""

"""What people type, and what they see of it."""

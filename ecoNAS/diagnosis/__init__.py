"""What a machine has, what can be measured on it, and what would help."""

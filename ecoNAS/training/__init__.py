"""One training: optimiser, schedule, epochs, metrics."""

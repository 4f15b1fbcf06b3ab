"""What is exact without data or device: counts, constraints, and the gate made of them."""

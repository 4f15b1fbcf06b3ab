"""Meters: what counts joules, and what has to be known of it before."""

"""Judging samplers on tables: the very search loop, with looking up in the place of training."""

"""Joules: meters that count, estimators that compute, and the choice between them."""

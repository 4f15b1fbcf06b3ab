"""Joules of single networks: on this machine, and on one that has no ecoNAS."""

"""What came out of a run: tables, plots, report."""

"""One run, from an experiment file to a run folder."""

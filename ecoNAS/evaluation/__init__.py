"""One candidate: objectives, evaluation, and the workers that run it."""

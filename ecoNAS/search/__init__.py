"""Many candidates: samplers, study, and the loop between them."""

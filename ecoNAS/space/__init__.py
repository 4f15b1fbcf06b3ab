"""What may be decided: choices, rules and the search space that a YAML file describes."""

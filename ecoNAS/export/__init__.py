"""An architecture as a model definition that stands alone, with proof."""

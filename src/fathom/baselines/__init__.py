"""Traditional methods beside the network; each a Predictor whose state is arrays."""

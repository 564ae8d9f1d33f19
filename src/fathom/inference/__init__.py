"""How a trained model is used, and how far it can be trusted."""

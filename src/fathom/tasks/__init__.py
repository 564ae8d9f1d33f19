"""What is to be learned: losses, predictions, metrics."""

"""How it learns: the one loop, optimizers, schedule, precision, checkpoints."""

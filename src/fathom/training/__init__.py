"""How a network learns: one loop, and the parts that it calls."""

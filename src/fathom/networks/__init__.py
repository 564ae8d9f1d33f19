"""What learns: one file for each family, its spec beside it."""

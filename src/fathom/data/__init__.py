"""What comes in: reading, inferring a schema, auditing, splitting, encoding, augmenting."""

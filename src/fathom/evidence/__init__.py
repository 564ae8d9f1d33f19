"""What can be believed: one file for each kind of evidence, each giving records."""

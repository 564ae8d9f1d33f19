"""What can be believed of a network of language: one file for each kind of evidence."""

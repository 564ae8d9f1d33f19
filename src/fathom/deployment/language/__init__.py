"""What is shipped of a run on a corpus, and how it is read back."""

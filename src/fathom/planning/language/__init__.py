"""From a corpus, probe and budget to a resolved plan of a network of language."""

"""Records into a page, a model card and JSON. No torch."""

"""From data, probe and budget to a resolved plan."""

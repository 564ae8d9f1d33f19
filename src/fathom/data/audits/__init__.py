"""The checks of an audit: leaks, equal rows, columns and target, one file each."""

"""Bundles: what is shipped. Data, never code."""

"""Fathom: deep learning that you can get to the bottom of."""

__version__ = "0.1.0"

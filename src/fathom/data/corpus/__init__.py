"""Corpora: running text to learn language from, as documents, splits, tokens and batches.

reading ─► survey ─► splitting ─► tokenizing ─► encode ─► source
"""

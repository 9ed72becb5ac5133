"""
From text to a syntax tree: what was written, and where.
"""

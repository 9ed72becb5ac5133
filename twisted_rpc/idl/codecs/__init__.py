"""
Typed codecs: Python values to JSON bytes and back, checked on both sides.
"""

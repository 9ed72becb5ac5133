"""
From a syntax tree to what it means, with everything wrong said at once.
"""

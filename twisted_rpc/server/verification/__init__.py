"""
Whether an implementation fits its interface, with every fault said at once.
"""

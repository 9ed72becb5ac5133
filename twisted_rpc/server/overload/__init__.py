"""
What keeps a server going when more is asked of it than it can do.
"""

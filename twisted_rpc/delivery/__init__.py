"""
What a call is promised, and how that is kept.
"""

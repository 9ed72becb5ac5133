"""
What a change of an interface means for those who speak the old one.
"""

"""
What is legal and yet better written otherwise.
"""

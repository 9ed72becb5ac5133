"""
Example services, each a folder with its IDL and its implementation.
"""

"""
The one layout of IDL files.
"""

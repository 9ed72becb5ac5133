"""
What is made of an IDL file for others: Python modules for type checkers, JSON
Schema, OpenAPI and reference pages.

Nothing at run time needs any of it.
"""

"""
Typed Python modules, for editors and type checkers.
"""

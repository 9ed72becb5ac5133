"""
A directory: C{directory.idl} says what it does, L{Directory} does it.
"""

from services.directory.directory import Directory

__all__ = ["Directory"]

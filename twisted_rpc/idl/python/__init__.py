"""
What an IDL file becomes in Python: classes, zope interfaces, schemas.
"""

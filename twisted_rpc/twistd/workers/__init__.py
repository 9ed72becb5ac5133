"""
C{twistd rpc --workers}: several processes that serve on the same sockets.
"""

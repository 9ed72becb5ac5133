"""
Records in Redis.
"""

"""
The protocol without I/O: frames to messages, and what is legal when.
"""

"""
The measured claims, side by side with peers.
"""

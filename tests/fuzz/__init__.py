"""
Hostile input: texts that are JSON and texts that are not, and a fuzzer that
mutates messages and gives them to the real protocols.
"""

"""Bells and passing words: within one process (memory), or between all processes of a house (redis)."""

"""Bells and passing words: in memory for one process."""

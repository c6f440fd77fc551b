"""The lean front door: the names that other programs call.

May import: submission, policy, spool, the floor; relay through its door.
"""

"""From standard input to the spool (the sender's half of RFC 6409, without the network).

May import: mail, policy, spool, the floor.
"""

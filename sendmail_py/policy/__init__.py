"""What this host and its user want: configuration, identity, aliases, sender rules.

May import: mail, the floor.
"""

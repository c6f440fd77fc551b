"""Root's flush of the shared spool: a reader for each owner, and one relay that touches nobody's files.

    start (root) --> reader, as the owner: his queue  <-- frames, descriptors -->  relay: the secret

May import relay, spool, policy, mail and the floor; knows processes, uids, and what must not be trusted.
"""

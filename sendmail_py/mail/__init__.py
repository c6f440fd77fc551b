"""Pure values: addresses, envelopes, header fields, lines. No files, no clock, no network.

May import: errors.
"""

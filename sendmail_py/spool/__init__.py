"""The durable queue: files and their states. Knows envelopes, not policy. May import: mail, the floor."""

"""What tests and benchmarks share: servers that play a script, certificates, launchers."""

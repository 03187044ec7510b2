"""Measures this engine beside dockerd, runc and crun, in one run and in turns: `make bench`."""

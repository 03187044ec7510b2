"""Nakagin: a complete container platform in Python."""

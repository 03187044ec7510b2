"""Compose: from files to running containers, over the client alone, so that any Docker-compatible engine will do."""

"""A container as text that makes it again: a command line, a Compose file, a Kubernetes manifest, a program."""

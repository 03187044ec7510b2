"""The distribution protocol: its client, its server, and who may use them."""

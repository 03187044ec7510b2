"""`cp`: what goes where (deeds), tar streams out of files (pack) and files out of tar streams (unpack)."""

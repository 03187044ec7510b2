"""`cp`: what goes where (targets), the deeds, tar streams out of files (pack) and files out of them (unpack)."""

"""One file per noun or family of verbs: flags in, client calls, words out. Loaded by the registry when used."""

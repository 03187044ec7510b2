"""From flags to the request for a container: one file per family of flags; pure but for files that flags name."""

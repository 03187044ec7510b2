"""Where build caches can be kept besides registries and folders: object stores, and GitHub's cache service."""

"""The Dockerfile language: text in, typed instructions with their positions out. Pure; nothing is built here.

    text ── directives ──► logical lines ── parser ──► nodes ── decode ──► instructions ── stages ──► Dockerfile
                                                                  expand (variables), ignore (.dockerignore),
                                                                  apply (instruction → image config), lint (checks)

The language is that of `docker/dockerfile:1` (docs.docker.com/reference/dockerfile); the words of errors follow it.
"""

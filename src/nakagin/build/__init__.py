"""Images from Dockerfiles.

    Dockerfile ── graph (which stages, in which order) ── solver (cache, or run) ── steps ── assemble ── image

A step turns a stack of layers into a stack with one layer more, or with the same ones. Its cache key is made of
content alone: of the layers below, the words of the instruction, and the digests of the files that it takes in.
"""

# DF.copy.from-root DF.copy.from-image
FROM corpus/files AS src
FROM corpus/busybox
COPY --from=src /links/absolute/a /a
COPY --from=src /links/relative /relative
COPY --from=src /links/out/passwd /passwd
COPY --from=src /tree /tree
COPY --from=src /links/ /links/

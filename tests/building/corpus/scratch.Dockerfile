# DF.from.scratch DF.from.basic DF.from.no-tag
FROM corpus/files AS made
FROM scratch
COPY --from=made /tree/one/a /bin/sh
COPY a.txt /
CMD ["/bin/sh"]

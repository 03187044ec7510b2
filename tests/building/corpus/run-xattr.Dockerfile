# DF.copy.xattr DF.run.layer
FROM corpus/busybox
RUN mv /capable /moved && cp -a /moved /copied
COPY --from=corpus/busybox /capable /again

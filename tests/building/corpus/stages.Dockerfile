# DF.from.as DF.from.resets DF.from.stage
FROM corpus/busybox AS one
RUN mkdir /out && echo built > /out/result && chmod 640 /out/result && chown 3:4 /out/result
FROM corpus/busybox AS Two
COPY --from=one /out/result /r/
ENV FROM_TWO=1
FROM two
COPY --from=0 /out /o
COPY --from=TWO /r/result /single
COPY --from=corpus/files /tree /tree

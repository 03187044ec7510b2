# DF.run.no-cmd-entrypoint DF.volume.discard
FROM corpus/entry
RUN echo $KEPT $PATH > /tmp/env; pwd >> /tmp/env; id -u >> /tmp/env

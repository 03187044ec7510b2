# DF.var.default-colon DF.var.allowed-in
FROM corpus/busybox
ARG DIR=dir
ARG EXT=txt
ENV DEST=/dest
COPY $DIR/in.$EXT ${DEST}/x
ADD ${DIR} ${DEST:-/none}/y
WORKDIR $DEST
COPY a.$EXT ./
LABEL where=$DEST
USER ${NOBODY:-0}
STOPSIGNAL ${SIGNAL:-15}
VOLUME $DEST/v

# DF.copy.dest-abs DF.copy.trailing-slash DF.copy.dest-rel
FROM corpus/busybox
COPY a.txt /plain
COPY a.txt /folder/
COPY a.txt b.txt /two/
COPY a.txt relative.txt
WORKDIR /work
COPY a.txt .
COPY b.txt ./sub/name
COPY ./run.sh /bin/
COPY private.key empty /modes/

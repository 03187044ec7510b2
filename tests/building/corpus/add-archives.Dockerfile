# DF.add.local DF.add.tar
FROM corpus/busybox
ADD plain.tar /plain/
ADD packed.tar.gz /gz
ADD packed.tar.bz2 packed.tar.xz /two/
ADD a.txt /file
ADD not-an-archive.tar /n/
COPY plain.tar /copied/
ADD dir /d
ADD --chown=3:4 plain.tar /owned

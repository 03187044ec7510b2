# DF.copy.file
FROM corpus/files
COPY a.txt /tree/one/a
COPY dir /tree/one
COPY a.txt /tree/one
COPY b.txt /tree/gone/

# DF.copy.symlink-dest DF.copy.symlink-src
FROM corpus/files
COPY a.txt /links/absolute/
COPY a.txt /links/relative/new
COPY b.txt /links/out/passwd.new
COPY dir/link /link-as-file
COPY dir /tree/link
COPY links /l

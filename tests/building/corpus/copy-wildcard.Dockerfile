FROM corpus/busybox
COPY *.txt /w/
COPY dir/*/x.sh /x/
COPY ?.txt /y/
COPY [ab].txt /z/
COPY di* /dirs/

FROM corpus/busybox
COPY /a.txt /rooted
COPY dir/../b.txt /inside
COPY ./dir/./deep//deeper /twisted

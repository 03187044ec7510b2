FROM corpus/busybox
COPY special /s
COPY hard /h

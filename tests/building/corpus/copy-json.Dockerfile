FROM corpus/busybox
COPY ["with space", "/with space/"]
COPY ["with space", "to a file"]

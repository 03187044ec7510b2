FROM corpus/busybox
COPY dir /d
COPY dir/ /e/
COPY dir/deep dir/more /f/
COPY . /all

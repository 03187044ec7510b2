# DF.workdir.create DF.workdir.relative DF.workdir.var
FROM corpus/busybox
WORKDIR first
WORKDIR second/third
ENV D=/abs/deep
WORKDIR ${D}/er
WORKDIR ../up
USER 5:6
WORKDIR /made/by/user
RUN pwd > /tmp/pwd
WORKDIR /

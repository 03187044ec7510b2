# DF.maintainer
FROM corpus/busybox
MAINTAINER Somebody <some@body.example>
RUN true

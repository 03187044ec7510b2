# DF.arg.predefined.HTTP_PROXY DF.run.proxy
FROM corpus/busybox
RUN echo "$http_proxy" > /proxy

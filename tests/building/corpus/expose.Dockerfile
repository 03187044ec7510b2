# DF.expose.tcp DF.expose.proto DF.expose.range DF.expose.var
FROM corpus/entry
ARG PORT=9000
EXPOSE 443 53/udp 8000-8003/tcp
EXPOSE $PORT ${PORT}/udp
EXPOSE 443/tcp

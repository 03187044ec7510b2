# DF.volume.json
FROM corpus/busybox
ENV WHERE=/var/where
VOLUME ["/data", "/with space"]
VOLUME /plain $WHERE
VOLUME /data

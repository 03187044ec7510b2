# DF.entrypoint.shell
FROM corpus/busybox
ENTRYPOINT exec sleep $TIME
CMD ["ignored"]

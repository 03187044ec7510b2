# DF.cmd.params DF.entrypoint.exec
FROM corpus/busybox
CMD ["own"]
ENTRYPOINT ["/bin/echo"]

# DF.shell.set DF.shell.persist DF.health.cmd DF.health.interval DF.health.timeout DF.health.start-period DF.health.retries
FROM corpus/busybox
SHELL ["/bin/sh", "-x", "-c"]
RUN echo traced > /traced
CMD echo run with the shell
ENTRYPOINT exec top
HEALTHCHECK --interval=5s --timeout=3s --retries=7 --start-period=2s CMD wget -q localhost || exit 1
SHELL ["/bin/sh","-c"]
RUN echo "plain 'quotes' and \"doubles\"" > /plain

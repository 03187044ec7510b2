FROM corpus/busybox
ENTRYPOINT ["/bin/echo", "base"]
CMD ["one", "two"]
HEALTHCHECK --interval=1m CMD ["true"]
LABEL layer=base kept=yes
EXPOSE 80
VOLUME /data
ENV KEPT=base PATH=/base:$PATH
USER 1000
WORKDIR /srv
STOPSIGNAL SIGQUIT
SHELL ["/bin/sh", "-e", "-c"]

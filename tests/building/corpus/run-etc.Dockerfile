FROM corpus/busybox
RUN cat /etc/hosts > /dev/null; test -s /etc/resolv.conf; echo done > /done
RUN rm -f /tmp/none; mkdir -p /etc/own && echo x > /etc/own/file

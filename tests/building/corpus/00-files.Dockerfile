FROM corpus/busybox
RUN mkdir -p /tree/one/two /tree/gone /links && echo 1 > /tree/one/a && echo 2 > /tree/one/two/b \
 && ln -s /tree/one /links/absolute && ln -s ../tree/one/two /links/relative && ln -s /nowhere /links/broken \
 && ln -s ../../../../etc /links/out && chmod 2750 /tree/one && chown 5:6 /tree/one/a && touch -d '2001-02-03 04:05:06' /tree/one/a \
 && mkdir -p /home/me && echo 'me:x:1234:4321:Me:/home/me:/bin/sh' >> /etc/passwd && echo 'mine:x:4321:' >> /etc/group \
 && echo 'lonely:x:77:88::/:/bin/sh' >> /etc/passwd && echo 'team:x:55:me' >> /etc/group

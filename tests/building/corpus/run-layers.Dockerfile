FROM corpus/files
RUN rm -r /tree/gone && rm /tree/one/a
RUN rm -r /tree/one && mkdir /tree/one && echo new > /tree/one/fresh
RUN mv /tree /moved
RUN rm /links/broken && mkdir /links/broken && touch /links/broken/x
RUN echo x > /m && ln /m /m2 && mkfifo /fifo && chmod 4755 /m
RUN chmod 700 /home/me
RUN touch -d '1999-01-02 03:04:05' /old && mkdir -m 1777 /sticky && chown 7:8 /sticky
RUN true
RUN rm -f /etc/hosts.extra; echo changed >> /etc/passwd

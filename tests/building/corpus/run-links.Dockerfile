FROM corpus/files
RUN ln /tree/one/a /tree/hard && chmod 600 /tree/hard
RUN rm /links/absolute && ln -s elsewhere /links/absolute && mkdir /links/relative2 && rm /links/relative && touch /links/relative
RUN mknod /null c 1 3 && mknod /block b 7 0

# DF.form.exec DF.run.env
FROM corpus/busybox
RUN ["/bin/sh", "-c", "echo $HOME > /home-was; env | grep -v HOSTNAME | sort > /env"]
RUN ["touch", "/a b"]
RUN echo one && \
    # a comment in between
    echo two > /two

RUN echo  "  spaces   kept  "  >  /spaces

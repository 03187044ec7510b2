# DF.arg.basic DF.arg.global DF.arg.redeclare DF.arg.scope-line DF.arg.env-wins DF.arg.not-in-image DF.from.arg
ARG BASE=corpus/busybox
ARG GLOBAL=global
FROM $BASE
ARG A
ARG B=default
ARG GLOBAL
RUN echo "a=$A b=$B g=$GLOBAL" > /args
ARG B=later
RUN echo "b=$B" >> /args
ENV B=env
RUN echo "b=$B" >> /args
ARG C=$B-and-more
RUN echo "c=$C" >> /args

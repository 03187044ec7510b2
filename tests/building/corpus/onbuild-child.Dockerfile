FROM corpus/onbuild
RUN cat /on/name > /seen; pwd >> /seen

# DF.copy.chown-name DF.copy.chown-num DF.copy.chown-var
FROM corpus/files
COPY --chown=me:mine a.txt /c/me
COPY --chown=me:team a.txt /c/team
COPY --chown=lonely:88 a.txt /c/lonely
COPY --chown=99 dir /c/dir
COPY --chown=1:2 a.txt /new/folder/x
ARG OWNER=7:8
COPY --chown=$OWNER a.txt /c/var

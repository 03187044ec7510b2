# DF.onbuild.register
FROM corpus/busybox
ONBUILD RUN echo    spaced   out
ONBUILD ADD . /app
onbuild env X=1

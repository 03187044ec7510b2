# DF.arg.scope-stage
FROM corpus/onbuild AS base
FROM base
RUN echo own > /own

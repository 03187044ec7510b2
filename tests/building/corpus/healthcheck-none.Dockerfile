# DF.health.none DF.health.last
FROM corpus/entry
HEALTHCHECK CMD true
HEALTHCHECK NONE

# DF.cmd.reset DF.entrypoint.override
FROM corpus/entry
ENTRYPOINT ["/bin/cat"]

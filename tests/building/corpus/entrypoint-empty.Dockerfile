FROM corpus/entry
ENTRYPOINT []
CMD []

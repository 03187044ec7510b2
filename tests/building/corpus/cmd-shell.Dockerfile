# DF.cmd.shell DF.form.shell
FROM corpus/entry
CMD echo $HOME && exit 3

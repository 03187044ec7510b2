# DF.cmd.exec DF.label.inherit DF.form.exec-no-expand
FROM corpus/entry
CMD ["replaced", "with \"quotes\" & <marks>", "ü"]

# DF.form.exec-invalid-json DF.form.exec-single-quotes
FROM corpus/busybox
CMD ['single', 'quotes']
ENTRYPOINT [ "broken", 

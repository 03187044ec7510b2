# DF.label.override DF.label.quote DF.label.legacy DF.label.inherit
FROM corpus/entry
LABEL one=1 two="2 and more" "three with space"='single $HOME'
LABEL layer=child
LABEL old style value
LABEL cont="a \
b" \
      last=$KEPT

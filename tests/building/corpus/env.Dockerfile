# DF.env.kv DF.env.legacy DF.env.quote DF.var.same-instruction
FROM corpus/busybox
ENV A=1
ENV B=$A C="$A and ${B}" D='$A' E=\$A F=a\ b G="quoted \"inside\""
ENV old style with   spaces
ENV H=${NONE:-default} I=${A:+set} J=${NONE:+unset}x K=${A}suffix
ENV A=2 L=$A
ENV PATH=$PATH:/opt/bin EMPTY= M="multi\
line"
ENV A=3

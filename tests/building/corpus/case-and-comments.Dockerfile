# escape=`
# DF.syntax.case DF.syntax.comment DF.directive.escape-backtick
# a comment
from corpus/busybox as Final

run echo `
   joined > /joined
	CoPy a.txt /mixed
EnV x=1 `
    # inside
    y=2
cmd ["x"]

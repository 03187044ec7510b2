"""`nakagin capacity`: how many containers of a kind a machine can run, and what ends it. Over the client."""

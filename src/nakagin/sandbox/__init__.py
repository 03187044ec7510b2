"""`nakagin sandbox`: a command on a copy-on-write view of this machine, over the client."""

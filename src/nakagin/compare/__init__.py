"""`nakagin compare vm`: the same program in a container and in a virtual machine, measured. Over the client."""

"""What the command line does, verb by verb. Each function takes a Call and returns the exit code."""

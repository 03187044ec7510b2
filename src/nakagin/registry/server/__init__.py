"""The registry server: the OCI distribution specification over plain files, without an engine."""

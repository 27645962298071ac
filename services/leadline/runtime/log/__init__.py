"""The log: a port with two adapters, `kafka` and `local`, and one conformance suite for both."""

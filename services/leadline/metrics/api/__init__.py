"""The gRPC face of a reader: names, pages, conversions, services."""

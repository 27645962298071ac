"""The web console: a gRPC client of the evaluation and model services, rendered as pages."""

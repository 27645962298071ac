"""Generated from protos/leadline/v1 by `make protos`; do not edit."""

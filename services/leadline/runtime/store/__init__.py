"""The truth store (SQL) and the blob store."""

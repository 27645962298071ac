"""Codecs between bytes and records: the only place that knows both."""

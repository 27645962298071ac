"""The world: clock, log, store, blobs, settings, servers. Everything that does I/O stands here."""

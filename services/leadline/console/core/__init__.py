"""Pure parts of the console: figures, words, geometry, URL state and view models."""

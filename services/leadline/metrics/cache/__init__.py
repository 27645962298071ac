"""The pending store on disk: segments, and the manifest that says which of them hold."""

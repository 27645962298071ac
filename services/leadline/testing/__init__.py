"""What tests and the demo are built from: shipped, so that users can test with it too."""

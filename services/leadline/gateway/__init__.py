"""The gateway: an inference protocol server in front of Triton that logs what passes."""

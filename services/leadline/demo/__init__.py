"""The demo: a real model on real digits, whose traffic turns bad half-way."""

"""Leadline: how good each deep-learning model is right now, on live traffic, and why it errs."""

__version__ = "0.1.0"

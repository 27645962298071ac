"""Starters of the real components: Kafka, PostgreSQL, Triton, Prometheus and Chromium.

Used by the tests and by `make demo KAFKA=1 POSTGRES=1`. Each server is an object with
`start()`, its addresses as properties, and `stop()`; all listen on loopback only. A program that
is not installed raises `MissingProgramError`, which names what to install.
"""

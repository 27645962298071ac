"""The soak: counting goes on under faults for many rounds, and every count is right at the end.

    make soak ROUNDS=100 SEED=1

A real Kafka, a real PostgreSQL, owner processes that overlap, and a producer that knows only the
.proto files. Every round does one harm or two; afterwards every cell of the truth is compared with
the oracle, which reads the topics by a plain consumer. docs/benchmarks.md says what a run shows.
"""

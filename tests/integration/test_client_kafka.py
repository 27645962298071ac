"""The client on a real Kafka: rows arrive in their partitions, through a log that starts late."""

from __future__ import annotations

import secrets

from leadline.client import Log
from leadline.runtime.clock import SystemClock
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import LABELS, PREDICTIONS, Stream
from leadline.runtime.log.topics import ensure_topics
from leadline.wire.batches import decode_labels, decode_predictions

ROWS = 5_000


def test_rows_arrive_once_in_their_partitions(kafka):
    url = f"kafka://{kafka.bootstrap}"
    stream = Stream(f"t{secrets.token_hex(4)}", 3)
    with Log("digits", "2", to=url, stream=stream.name) as client:
        client.prediction("early", [0.5, 0.5])  # its topics are not there yet: it waits
        log = open_log(url, SystemClock())
        ensure_topics(log, stream)
        for at in range(ROWS):
            client.prediction(f"order-{at}", [0.25, 0.75], slices={"device": str(at % 3)})
            client.label(f"order-{at}", at % 2)
        assert client.flush(60), client.stats()
        assert client.stats().dropped_rows == {}
    counts = []
    for base, decode in ((PREDICTIONS, decode_predictions), (LABELS, decode_labels)):
        ids = set()
        for partition in range(stream.partitions):
            reader = log.reader(stream.topic(base), partition)
            while reader.position() < reader.end():
                for record in reader.poll(1000, 5.0):
                    decoded = decode(record.value, partition, stream.partitions)
                    assert decoded.refusals == ()
                    ids |= {tuple(row) for row in decoded.batch.ids.tolist()}
            reader.close()
        counts.append(len(ids))
    log.close()
    assert counts == [ROWS + 1, ROWS]

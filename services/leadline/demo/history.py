"""A day of history before the live traffic: what the same kiosks saw, imported into the log.

The predictions are the real model's on real held-out digits; only their times are made up. They go
in as any import does: marked as history, so that their times are kept.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from leadline.demo.onnx_repository import Model
from leadline.demo.player import CHAMPION, MODEL
from leadline.demo.traffic import LabelEvent, Request, Traffic
from leadline.records.batches import (
    RETRACTED,
    LabelBatch,
    LabelHeader,
    PredictionBatch,
    PredictionHeader,
    SliceColumn,
)
from leadline.records.columns import split_labels, split_predictions
from leadline.records.ids import fresh_id, pack_ids
from leadline.runtime.log.port import LABELS, PREDICTIONS, LogWriter
from leadline.wire.batches import encode_labels, encode_predictions

DAY_SECONDS = 86_400.0
PRODUCER = "history"
WRITE_SECONDS = 30.0


def write_history(
    writer: LogWriter,
    model: Model,
    traffic: Traffic,
    *,
    partitions: int,
    end_us: int,
    rng: np.random.Generator,
) -> int:
    """Imports the traffic as if it had ended at `end_us`; returns the number of predictions.

    Args:
        writer: of the log.
        model: the champion, computed here.
        traffic: of limited duration.
        partitions: of both topics.
        end_us: microseconds since 1970-01-01 UTC.
        rng: for ids.
    """
    duration = traffic.duration_seconds or DAY_SECONDS
    start_us = end_us - int(duration * 1_000_000)
    events = [event for event in traffic if event.at_seconds <= duration]
    requests = [event for event in events if isinstance(event, Request)]
    ids = [
        fresh_id((start_us + int(request.at_seconds * 1e6)) // 1000, rng.bytes(10))
        for request in requests
    ]
    batch = _predictions(requests, ids, model, start_us)
    for partition, part in split_predictions(batch, partitions):
        writer.append(PREDICTIONS, partition, encode_predictions(part))
    at_us = {request.index: start_us + int(request.at_seconds * 1e6) for request in requests}
    labels = [event for event in events if isinstance(event, LabelEvent)]
    for label_batch in _labels(labels, ids, at_us):
        for partition, label_part in split_labels(label_batch, partitions):
            writer.append(LABELS, partition, encode_labels(label_part))
    writer.flush(WRITE_SECONDS)
    return len(requests)


def _predictions(
    requests: list[Request], ids: list[bytes], model: Model, start_us: int
) -> PredictionBatch:
    images = np.stack([request.image for request in requests])
    scores: NDArray[np.float32] = np.concatenate(
        [model.run({"image": part}, ["scores"])[0] for part in np.array_split(images, 16)]
    )
    devices = tuple(sorted({request.device for request in requests}))
    codes = np.array([devices.index(request.device) for request in requests], np.uint32)
    return PredictionBatch(
        header=PredictionHeader(
            MODEL, CHAMPION, MODEL, class_count=10, imported=True, producer=PRODUCER
        ),
        ids=pack_ids(ids),
        event_time_us=np.array(
            [start_us + int(request.at_seconds * 1e6) for request in requests], np.int64
        ),
        predicted=scores.argmax(axis=1).astype(np.uint32),
        scores=scores,
        slices=(SliceColumn("device", devices, codes),),
    )


def _labels(
    labels: list[LabelEvent], ids: list[bytes], at_us: dict[int, int]
) -> Iterator[LabelBatch]:
    """One batch a source, in the order of their time."""
    sources = sorted({(label.rank, label.source) for label in labels})
    for rank, source in sources:
        own = [label for label in labels if label.source == source]
        classes = [RETRACTED if label.class_ is None else label.class_ for label in own]
        times = [at_us[label.request_index] + int(label.time_offset * 1e6) for label in own]
        yield LabelBatch(
            header=LabelHeader(
                MODEL, source=source, source_rank=rank, imported=True, producer=PRODUCER
            ),
            ids=pack_ids([ids[label.request_index] for label in own]),
            label_time_us=np.array(times, np.int64),
            true_class=np.array(classes, np.uint32),
        )

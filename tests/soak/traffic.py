"""What the producer writes: everything that is legal, and much that is not.

Knows the .proto files and nothing of the services. The seed decides what is written about an id;
when, and with which neighbours in a batch, depends on when `step` is called.

Ids are predicted by one to three versions of models that share a task, some again at once
(duplicates) and some much later (new generations). Labels come early, soon, late or too late, are
doubled, corrected by rank and by time, taken back, or belong to nobody. Times may be absurd,
batches imported, cut in two chunks, broken, or sent to the wrong partition.
"""

import heapq
import random
from dataclasses import dataclass, replace

from independent import RETRACTED, halves, partition_of

PREDICTIONS, LABELS = "predictions", "labels"
BINARY, MULTICLASS, REGRESSION = 1, 2, 5
SECOND_US = 1_000_000
BURST_SECONDS = 2.0  # new ids after a pause are those of so long at most
ROWS_MAX = 300
ABSURD_TIMES = (0, 1, 2**62, 2**64 - 1)


@dataclass(frozen=True)
class Model:
    """A model version and what it answers with."""

    name: str
    version: str
    task: str
    classes: int
    kind: int = MULTICLASS
    form: str = "dense"  # dense, top, bare
    slices: bool = True


DIGITS = tuple(Model("digits", str(v), "digits", 10, slices=v != 2) for v in (1, 2, 3))
LITE = Model("digits-lite", "1", "digits", 10, form="bare")
WIDE = Model("wide", "1", "wide", 1000, form="top")
CLICKS = Model("clicks", "1", "clicks", 2, kind=BINARY)
SLICES = (("device", ("phone", "tablet", "web")), ("region", ("eu", "us", "asia", "")))
SOURCES = ((0, "clicks"), (5, "reviewer"), (10, "expert"))


@dataclass(frozen=True, slots=True)
class Prediction:
    """One row to be."""

    id: bytes
    model: Model
    imported: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    """One row to be; its time is that of its sending, less `age_us`."""

    id: bytes
    task: str
    true: int
    source: tuple
    age_us: int = 0
    imported: bool = False


@dataclass(frozen=True)
class Pace:
    """How much, and how late; seconds.

    Attributes:
        ids_per_second: new ids.
        label_window, prediction_window, pair_window: those of the services, roughly: enough of
            what is written falls on either side of each.
    """

    ids_per_second: float = 300.0
    label_window: float = 40.0
    prediction_window: float = 15.0
    pair_window: float = 20.0


class Traffic:
    """Everything that is written, step by step.

    Args:
        types: the messages by name, as `independent.messages` compiles them.
        start_us: the time of the first step.
    """

    def __init__(self, seed, types, partitions, pace, start_us):
        self.rng = random.Random(f"traffic {seed}")
        self.types, self.partitions, self.pace = types, partitions, pace
        self.rows = [0, 0]
        self.broken = 0
        self._now = start_us
        self._owed = 0.0
        self._due = []  # heap of (time, number, row)
        self._number = 0

    def step(self, now_us):
        """(topic, partition, bytes) of all that is due, in no order that matters."""
        seconds = min((now_us - self._now) / SECOND_US, BURST_SECONDS)
        self._now = now_us
        self._owed += seconds * self.pace.ids_per_second
        while self._owed >= 1:
            self._owed -= 1
            self._plan(now_us)
        sent = list(self._batches(list(self._take(now_us))))
        sent += [self._broken() for _ in range(self._times(2 * seconds))]
        self.rng.shuffle(sent)
        return sent

    def _times(self, expected):
        """A whole number with that mean."""
        return int(expected) + (self.rng.random() < expected % 1)

    # ---------------------------------------------------------------------- what is planned

    def _plan(self, now_us):
        """All rows of a new id, each for its time."""
        rng, id_bytes = self.rng, self.rng.randbytes(16)
        imported = rng.random() < 0.02
        models = self._models()
        first = now_us
        if rng.random() < 0.15:  # the label is there first
            first += self._us(rng.uniform(0, 1.6) * self.pace.prediction_window)
        for model in models:
            at = first + self._us(rng.choice((0, 0.1, rng.uniform(0, 1.6) * self.pace.pair_window)))
            row = Prediction(id_bytes, model, imported)
            self._at(at, row)
            if rng.random() < 0.04:
                self._at(at + self._us(rng.choice((0, rng.uniform(0, 10)))), row)
            if rng.random() < 0.03:  # another generation, or nearly
                self._at(at + self._us(rng.uniform(0.8, 1.8) * self.pace.label_window), row)
        if rng.random() < (0.3 if models[0] is CLICKS else 0.85):
            self._plan_labels(now_us, id_bytes, models[0])
        if rng.random() < 0.02:
            self._at(now_us, self._label(rng.randbytes(16), models[0]))

    def _models(self):
        one = self.rng.random()
        if one < 0.05:
            return [WIDE]
        if one < 0.13:
            return [CLICKS]
        count = self.rng.choices((1, 2, 3, 4), (60, 28, 9, 3))[0]
        return self.rng.sample((*DIGITS, LITE), count)

    def _plan_labels(self, now_us, id_bytes, model):
        rng = self.rng
        late = rng.expovariate(1 / 5.0)
        if rng.random() < 0.12:
            late = rng.uniform(0, 2) * self.pace.label_window
        at = now_us + self._us(late)
        label = self._label(id_bytes, model)
        self._at(at, label)
        if rng.random() < 0.04:
            self._at(at + self._us(rng.uniform(0, 3)), label)  # the same again
        while rng.random() < 0.15:  # corrections: by rank, by time, or in vain
            at += self._us(rng.uniform(0, 0.5) * self.pace.label_window)
            self._at(at, self._label(id_bytes, model))

    def _label(self, id_bytes, model):
        rng = self.rng
        true = RETRACTED if rng.random() < 0.04 else rng.randrange(model.classes)
        age_us = rng.choice((0, 0, rng.randrange(60 * SECOND_US)))
        return Label(id_bytes, model.task, true, rng.choice(SOURCES), age_us, rng.random() < 0.02)

    def _us(self, seconds):
        return int(seconds * SECOND_US)

    def _at(self, time_us, row):
        self._number += 1
        heapq.heappush(self._due, (time_us, self._number, row))

    def _take(self, now_us):
        while self._due and self._due[0][0] <= now_us:
            yield heapq.heappop(self._due)[2]

    # ---------------------------------------------------------------------- what is written

    def _batches(self, rows):
        groups = {}
        for row in rows:
            of = (row.model,) if isinstance(row, Prediction) else (row.task, row.source)
            key = (type(row), *of, row.imported, partition_of(row.id, self.partitions))
            groups.setdefault(key, []).append(row)
        for (kind, *_, partition), group in groups.items():
            make = self._predictions if kind is Prediction else self._labels
            topic = PREDICTIONS if kind is Prediction else LABELS
            for part in self._parts(group):
                self.rows[topic == LABELS] += len(part)
                wrong = self.rng.random() < 0.005
                yield topic, (partition + wrong) % self.partitions, self._bytes(make(part))

    def _parts(self, group):
        """Mostly all together, now and then one by one."""
        size = 1 if self.rng.random() < 0.05 else ROWS_MAX
        for at in range(0, len(group), size):
            yield group[at : at + size]

    def _bytes(self, message):
        """As any writer would write it, at times the columns in two chunks."""
        if message.n < 2 or self.rng.random() >= 0.02:
            return message.SerializeToString()
        head, tail = type(message)(), type(message)()
        head.CopyFrom(message)
        for field, column in message.ListFields():
            if field.number >= 20:
                half = len(column) // 2
                head.ClearField(field.name)
                getattr(head, field.name).extend(column[:half])
                getattr(tail, field.name).extend(column[half:])
        return head.SerializeToString() + tail.SerializeToString()

    def _time(self, imported):
        if self.rng.random() < 0.004:
            return self.rng.choice(ABSURD_TIMES[2:] if imported else ABSURD_TIMES)
        if imported:
            return self._now - self.rng.randrange(3600 * SECOND_US)
        return self._now - self.rng.randrange(3 * SECOND_US)

    def _predictions(self, rows):
        model = rows[0].model
        batch = self.types["PredictionBatch"](
            reader=1, n=len(rows), model=model.name, version=model.version, kind=model.kind
        )
        batch.task = "" if model.task == model.name else model.task
        batch.class_count, batch.imported = model.classes, rows[0].imported
        batch.top_k = 10 if model.form == "top" else 0
        for row in rows:
            batch.id.extend(halves(row.id))
            batch.event_time_us.append(self._time(row.imported))
            self._answer(batch, model)
        if model.slices:
            self._slices(batch)
        self._keep(batch)
        if self.rng.random() < 0.01:
            batch.unobserved.add(reason=self.rng.randint(1, 7), count=self.rng.randint(1, 50))
        return batch

    def _answer(self, batch, model):
        rng = self.rng
        if model.form == "bare":
            batch.predicted_class.append(rng.randrange(model.classes))
        elif model.form == "top":
            top = rng.sample(range(model.classes), batch.top_k)
            batch.predicted_class.append(top[0])
            batch.top_class.extend(top)
            batch.top_score.extend(sorted((rng.random() for _ in top), reverse=True))
        else:
            scores = [rng.random() ** 3 for _ in range(model.classes)]
            if rng.random() < 0.1:  # ties, and the ends
                scores = [rng.choice((0.0, 0.25, 0.5, 1.0)) for _ in scores]
            batch.score.extend(scores)
            best = scores.index(max(scores))
            batch.predicted_class.append(
                rng.randrange(model.classes) if rng.random() < 0.05 else best
            )

    def _slices(self, batch):
        for name, values in SLICES:
            codes = [self.rng.randrange(len(values)) for _ in range(batch.n)]
            batch.slices.add(name=name, value=values, code=codes)

    def _keep(self, batch):
        for row in range(batch.n):
            if self.rng.random() < 0.03:
                batch.kept.add(row=row, probability=0.03, absence=1, id_text=f"row {row}")

    def _labels(self, rows):
        first = rows[0]
        classes = {model.task: model.classes for model in (*DIGITS, WIDE, CLICKS)}
        batch = self.types["LabelBatch"](
            reader=1, n=len(rows), task=first.task, kind=MULTICLASS, imported=first.imported
        )
        batch.class_count = classes[first.task]
        batch.source_rank, batch.source = first.source
        for row in rows:
            batch.id.extend(halves(row.id))
            at = self._time(row.imported)
            batch.label_time_us.append(at if at in ABSURD_TIMES else at - row.age_us)
            batch.true_class.append(row.true)
        return batch

    # ------------------------------------------------------------------------ what is broken

    def _broken(self):
        """(topic, partition, bytes) of one record that is wrong, in whole or in part."""
        self.broken += 1
        makers = (self._noise, self._cut, self._wrong_in_prediction, self._wrong_in_label)
        return self.rng.choice(makers)()

    def _noise(self):
        # A first byte of 0x07 is wire type 7, which no message has.
        noise = b"\x07" + self.rng.randbytes(60)
        return self.rng.choice((PREDICTIONS, LABELS)), self.rng.randrange(self.partitions), noise

    def _cut(self):
        partition, batch = self._some(Prediction(b"", self.rng.choice(DIGITS)))
        value = batch.SerializeToString()
        return PREDICTIONS, partition, value[: self.rng.randrange(1, len(value))]

    def _some(self, row):
        """(partition, batch) of some rows of one partition, none of them ever seen again."""
        partition, rows = self.rng.randrange(self.partitions), []
        while len(rows) < 3:
            one = replace(row, id=self.rng.randbytes(16))
            if partition_of(one.id, self.partitions) == partition:
                rows.append(one)
        make = self._predictions if isinstance(row, Prediction) else self._labels
        return partition, make(rows)

    def _wrong_in_prediction(self):
        partition, batch = self._some(Prediction(b"", DIGITS[0]))
        wrong = self.rng.randrange(9)
        if wrong < 3:  # single rows
            batch.score[self.rng.randrange(30)] = (float("nan"), 7.5, -1e-9)[wrong]
        elif wrong == 3:
            batch.predicted_class[self.rng.randrange(3)] = 10
        elif wrong == 4:
            batch.slices[0].code[self.rng.randrange(3)] = 99
        elif wrong == 5:  # the whole
            batch.kind = self.rng.choice((0, 77, REGRESSION))
        elif wrong == 6:
            batch.version = ""
        elif wrong == 7:
            batch.reader = 0
        else:
            batch.event_time_us.append(1)
        return PREDICTIONS, partition, batch.SerializeToString()

    def _wrong_in_label(self):
        partition, batch = self._some(Label(b"", "digits", 1, SOURCES[0]))
        wrong = self.rng.randrange(4)
        if wrong == 0:
            batch.true_class[self.rng.randrange(3)] = 10
        elif wrong == 1:
            batch.n = 5
        elif wrong == 2:
            batch.task = ""
        else:
            batch.kind = 77
        return LABELS, partition, batch.SerializeToString()

-- Rules and exceptions as facts of the log, and generations of cases.

-- The rules of each shard, numbered from 0: rule k holds from (from_p, from_l) until rule k + 1 does.
-- `published` tells whether the topic `rules` has the row: 0 or 1.
CREATE TABLE rules (
  shard TEXT NOT NULL,
  number BIGINT NOT NULL,
  from_p BIGINT NOT NULL,
  from_l BIGINT NOT NULL,
  body TEXT NOT NULL,
  published BIGINT NOT NULL,
  PRIMARY KEY (shard, number)
);

-- Records of a side (0 predictions, 1 labels) whose append time must not be believed.
CREATE TABLE exceptions (
  shard TEXT NOT NULL,
  side BIGINT NOT NULL,
  from_offset BIGINT NOT NULL,
  to_offset BIGINT NOT NULL,
  append_ms BIGINT NOT NULL,
  published BIGINT NOT NULL,
  PRIMARY KEY (shard, side, from_offset)
);

-- One id may have several generations, told apart by the log clock of their predictions. The label
-- stands beside `detail`, so that it changes alone; in rows of the first schema, in which clock_ms
-- is 0, it stands within.
CREATE TABLE generations (
  model TEXT NOT NULL,
  version TEXT NOT NULL,
  id BLOB NOT NULL,
  task TEXT NOT NULL,
  clock_ms BIGINT NOT NULL,
  event_time_us BIGINT NOT NULL,
  predicted BIGINT NOT NULL,
  true_class BIGINT,
  score DOUBLE PRECISION NOT NULL,
  slices TEXT NOT NULL,
  input_ref TEXT NOT NULL,
  detail TEXT NOT NULL,
  label TEXT,
  PRIMARY KEY (model, version, id, task, clock_ms)
);

INSERT INTO generations
SELECT model, version, id, task, 0, event_time_us, predicted, true_class, score, slices, input_ref,
  detail, NULL
FROM cases;

DROP TABLE cases;

ALTER TABLE generations RENAME TO cases;

CREATE INDEX cases_newest ON cases (model, version, event_time_us DESC, id, task, clock_ms);

CREATE INDEX cases_cell ON cases
(model, version, true_class, predicted, event_time_us DESC, id, task, clock_ms);

CREATE INDEX cases_score ON cases
(model, version, true_class, predicted, score DESC, id, task, clock_ms);

CREATE INDEX cases_input ON cases (id, task);

CREATE INDEX cases_blob ON cases (input_ref);

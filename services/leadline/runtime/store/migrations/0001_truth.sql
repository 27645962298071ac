-- The truth: vectors, what was counted up to them, cases and declared models.
--
-- One text for both databases: on PostgreSQL, TEXT compares by bytes (COLLATE "C") and BLOB is
-- BYTEA. A statement below the line "only: postgres" is left out on SQLite. A statement ends with
-- ";" at the end of its line.

-- The vector of each shard.
CREATE TABLE shards (
  shard TEXT NOT NULL PRIMARY KEY,
  p BIGINT NOT NULL,
  l BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  rules BIGINT NOT NULL,
  predictions_clock_ms BIGINT NOT NULL,
  labels_clock_ms BIGINT NOT NULL,
  predictions_offset BIGINT NOT NULL,
  predictions_append_time_ms BIGINT NOT NULL,
  predictions_digest BIGINT NOT NULL,
  labels_offset BIGINT NOT NULL,
  labels_append_time_ms BIGINT NOT NULL,
  labels_digest BIGINT NOT NULL,
  predictions_topic_id TEXT NOT NULL,
  labels_topic_id TEXT NOT NULL,
  dead_letters BIGINT NOT NULL,
  committed_us BIGINT NOT NULL,
  stopped TEXT NOT NULL,
  remedy TEXT NOT NULL
);

-- The row that a compactor of a shard holds while it works. Apart from `shards`, so that the owner
-- commits meanwhile.
CREATE TABLE compactions (
  shard TEXT NOT NULL PRIMARY KEY,
  runs BIGINT NOT NULL
);

-- Whom a series number of a shard stands for. Slices are canonical JSON.
CREATE TABLE series (
  shard TEXT NOT NULL,
  number BIGINT NOT NULL,
  model TEXT NOT NULL,
  version TEXT NOT NULL,
  task TEXT NOT NULL,
  slices TEXT NOT NULL,
  PRIMARY KEY (shard, number)
);

-- What each commit added, until it is folded into blocks. The vector only grows, so (p, l) is the
-- order of commits.
CREATE TABLE deltas (
  shard TEXT NOT NULL,
  p BIGINT NOT NULL,
  l BIGINT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (shard, p, l)
);

-- The sums of folded deltas: the cells of one kind and series in one hour. Bodies keep the minutes.
CREATE TABLE blocks (
  shard TEXT NOT NULL,
  kind BIGINT NOT NULL,
  series BIGINT NOT NULL,
  block_start BIGINT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (shard, kind, series, block_start)
);

-- Bodies are compressed already.
-- only: postgres
ALTER TABLE deltas ALTER COLUMN body SET STORAGE EXTERNAL;

-- only: postgres
ALTER TABLE blocks ALTER COLUMN body SET STORAGE EXTERNAL;

-- Event minutes of versions, by shard, so that two owners never wait for one another.
CREATE TABLE last_seen (
  shard TEXT NOT NULL,
  model TEXT NOT NULL,
  version TEXT NOT NULL,
  first_minute BIGINT NOT NULL,
  last_minute BIGINT NOT NULL,
  PRIMARY KEY (shard, model, version)
);

-- Kept predictions. What is asked for stands in columns, all of it in `detail` (JSON).
CREATE TABLE cases (
  model TEXT NOT NULL,
  version TEXT NOT NULL,
  id BLOB NOT NULL,
  task TEXT NOT NULL,
  event_time_us BIGINT NOT NULL,
  predicted BIGINT NOT NULL,
  true_class BIGINT,
  score DOUBLE PRECISION NOT NULL,
  slices TEXT NOT NULL,
  input_ref TEXT NOT NULL,
  detail TEXT NOT NULL,
  PRIMARY KEY (model, version, id)
);

CREATE INDEX cases_newest ON cases (model, version, event_time_us DESC, id);

CREATE INDEX cases_cell ON cases (model, version, true_class, predicted, event_time_us DESC, id);

CREATE INDEX cases_score ON cases (model, version, true_class, predicted, score DESC, id);

CREATE INDEX cases_input ON cases (id, task);

CREATE INDEX cases_blob ON cases (input_ref);

-- Declared models as JSON. A model that was never saved has revision 0.
CREATE TABLE models (
  name TEXT NOT NULL PRIMARY KEY,
  revision BIGINT NOT NULL,
  body TEXT NOT NULL
);

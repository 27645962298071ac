-- Blocks by resolution, what was rolled up, and tombstones.

-- The sums of folded deltas: the cells of one kind and series, by buckets of `resolution` minutes
-- (0: all time), in one block of time. A body's minutes are the first ones of its buckets.
CREATE TABLE blocks_by_resolution (
  shard TEXT NOT NULL,
  kind BIGINT NOT NULL,
  series BIGINT NOT NULL,
  resolution BIGINT NOT NULL,
  block_start BIGINT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (shard, kind, series, resolution, block_start)
);

INSERT INTO blocks_by_resolution (shard, kind, series, resolution, block_start, body)
SELECT shard, kind, series, CASE WHEN kind IN (11, 12) THEN 0 ELSE 1 END, block_start, body
FROM blocks;

DROP TABLE blocks;

ALTER TABLE blocks_by_resolution RENAME TO blocks;

-- only: postgres
ALTER TABLE blocks ALTER COLUMN body SET STORAGE EXTERNAL;

-- For what is to be rolled up or deleted next.
CREATE INDEX blocks_age ON blocks (shard, resolution, block_start);

-- Up to which minute a shard's cells stand at a coarser resolution, or were deleted.
CREATE TABLE rolled (
  shard TEXT NOT NULL,
  what TEXT NOT NULL,
  until BIGINT NOT NULL,
  PRIMARY KEY (shard, what)
);

-- Tombstones: what comes later of these models and ids is not shown, and deleted.
CREATE TABLE deleted_models (
  model TEXT NOT NULL PRIMARY KEY,
  deleted_us BIGINT NOT NULL
);

-- An empty task stands for all.
CREATE TABLE deleted_ids (
  id BLOB NOT NULL,
  task TEXT NOT NULL,
  deleted_us BIGINT NOT NULL,
  PRIMARY KEY (id, task)
);

-- The immutable log. docs/log-format.md says how an entry becomes a leaf of the Merkle tree and how a checkpoint is read.
--
-- Entries are the events that change what is true of a task, of the policy or of the registry itself, each inserted in the
-- transaction of that change and with the number of its event. `entry` counts from 0 without a gap: it is the leaf's index.
-- Triggers refuse every change of what is there; a BEFORE INSERT trigger, because INSERT OR REPLACE would delete without
-- asking the one for DELETE. They keep honest programs honest. What a dishonest one does shows in the tree.

CREATE TABLE immutable_log (
  entry     INTEGER PRIMARY KEY,
  number    INTEGER NOT NULL,
  timestamp INTEGER NOT NULL,
  action    TEXT    NOT NULL,
  task_id   TEXT,
  subsystem TEXT,
  detail    TEXT
) STRICT;

CREATE INDEX immutable_log_task ON immutable_log (task_id) WHERE task_id IS NOT NULL;

-- Hashes of the tree: tile (level, tile) has those of up to 256 complete subtrees of 256^level entries, 32 bytes each. A tile
-- of level 0 is stored when it is full; those above grow.
CREATE TABLE log_tiles (
  level  INTEGER NOT NULL,
  tile   INTEGER NOT NULL,
  hashes BLOB    NOT NULL,
  PRIMARY KEY (level, tile)
) STRICT, WITHOUT ROWID;

-- Signed checkpoints, by the number of entries that they cover.
CREATE TABLE log_checkpoints (
  entries   INTEGER PRIMARY KEY,
  timestamp INTEGER NOT NULL,
  note      TEXT    NOT NULL
) STRICT;

CREATE TRIGGER immutable_log_no_update BEFORE UPDATE ON immutable_log BEGIN
  SELECT RAISE(ABORT, 'the immutable log is not changed');
END;
CREATE TRIGGER immutable_log_no_delete BEFORE DELETE ON immutable_log BEGIN
  SELECT RAISE(ABORT, 'nothing is deleted from the immutable log');
END;
CREATE TRIGGER immutable_log_append BEFORE INSERT ON immutable_log
WHEN NEW.entry IS NOT (SELECT coalesce(max(entry) + 1, 0) FROM immutable_log) BEGIN
  SELECT RAISE(ABORT, 'the immutable log is only appended to');
END;

CREATE TRIGGER log_checkpoints_no_update BEFORE UPDATE ON log_checkpoints BEGIN
  SELECT RAISE(ABORT, 'checkpoints are not changed');
END;
CREATE TRIGGER log_checkpoints_no_delete BEFORE DELETE ON log_checkpoints BEGIN
  SELECT RAISE(ABORT, 'checkpoints are not deleted');
END;
CREATE TRIGGER log_checkpoints_append BEFORE INSERT ON log_checkpoints
WHEN NEW.entries <= (SELECT coalesce(max(entries), -1) FROM log_checkpoints) BEGIN
  SELECT RAISE(ABORT, 'checkpoints are only appended');
END;

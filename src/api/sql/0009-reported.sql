-- Tasks that are reported: what their reporters say of them.
--
-- progress is 0 to 1. ml_metrics is the text of a JSON object of numbers; five of them are columns as well. Points of a series, by step, are rows of task_metric_series. result_hash is SHA-256 of what was reported as the end: the same
-- again is no contradiction. verification_reported is the reporter's own word on whether the result was checked.
--
-- pid is the watched reporter; reporter_identity tells it from a later process with that pid, within a boot: the inode of its pidfd
-- where the kernel has pidfs, else its start time in ticks; NULL: nothing did.

ALTER TABLE task_registry ADD COLUMN progress REAL CHECK (progress BETWEEN 0 AND 1);
ALTER TABLE task_registry ADD COLUMN progress_message TEXT;
ALTER TABLE task_registry ADD COLUMN heartbeat_usec INTEGER;
ALTER TABLE task_registry ADD COLUMN ml_metrics TEXT;
ALTER TABLE task_registry ADD COLUMN result_metadata TEXT;
ALTER TABLE task_registry ADD COLUMN result_hash BLOB;
ALTER TABLE task_registry ADD COLUMN verification_reported INTEGER CHECK (verification_reported IN (0, 1));
ALTER TABLE task_registry ADD COLUMN reporter_identity INTEGER;

ALTER TABLE task_registry ADD COLUMN storage_delta_bytes INTEGER;
ALTER TABLE task_attempts ADD COLUMN storage_delta_bytes INTEGER;
ALTER TABLE task_resource_snapshots ADD COLUMN storage_delta_bytes INTEGER;
ALTER TABLE task_registry ADD COLUMN storage_delta_mb REAL
  GENERATED ALWAYS AS (storage_delta_bytes / 1048576.0) VIRTUAL;

ALTER TABLE task_registry ADD COLUMN dataset_size_mb REAL;
ALTER TABLE task_registry ADD COLUMN vectors_processed REAL;
ALTER TABLE task_registry ADD COLUMN tokens_processed REAL;
ALTER TABLE task_registry ADD COLUMN model_size_mb REAL;
ALTER TABLE task_registry ADD COLUMN epochs_completed REAL;

CREATE TABLE task_metric_series (
  task_id TEXT    NOT NULL,
  step    INTEGER NOT NULL,
  name    TEXT    NOT NULL,
  value   REAL    NOT NULL,
  PRIMARY KEY (task_id, step, name)
) STRICT, WITHOUT ROWID;

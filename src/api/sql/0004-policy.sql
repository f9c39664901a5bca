-- What was in force for each task. The text is the JSON of daemon/policy with the origin of every value; tasks with the
-- same policy share a row, named by the SHA-256 of its text. Rows are only ever added.

CREATE TABLE task_policies (
  hash   TEXT NOT NULL PRIMARY KEY,
  policy TEXT NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE task_registry ADD COLUMN policy_hash TEXT;

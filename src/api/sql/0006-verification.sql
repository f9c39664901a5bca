-- What became of the checks of a task: a summary with the task, a row for each rule of each attempt.
--
-- verification_status is NULL where there is nothing to verify, else pending, passed or failed. `verify_commands` is how many
-- commands the author sealed for it. The evidence is JSON text, of a form that depends on the kind of the rule. What a check used
-- is no part of what its task used: `usage` has it, {"usage": {"cpu_usec": ...}, "usage_sources": {...}}, `cpu_usec` the figure that is
-- added up most; both are NULL where no program ran.

ALTER TABLE task_registry ADD COLUMN verify_commands INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task_registry ADD COLUMN verification_status TEXT
  CHECK (verification_status IN ('pending', 'passed', 'failed'));
ALTER TABLE task_registry ADD COLUMN verification_passes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task_registry ADD COLUMN verification_failures INTEGER NOT NULL DEFAULT 0;

CREATE TABLE task_verifications (
  task_id       TEXT    NOT NULL,
  attempt       INTEGER NOT NULL,
  rule          INTEGER NOT NULL,
  name          TEXT    NOT NULL,
  kind          TEXT    NOT NULL CHECK (kind IN ('command', 'file', 'metric', 'exit_status', 'output', 'reported')),
  passed        INTEGER NOT NULL CHECK (passed IN (0, 1)),
  evidence      TEXT    NOT NULL,
  ended_at      INTEGER NOT NULL,
  duration_usec INTEGER NOT NULL,
  usage         TEXT,
  cpu_usec      INTEGER,

  UNIQUE (task_id, attempt, rule)
) STRICT;

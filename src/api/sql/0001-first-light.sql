-- Tasks, their attempts, snapshots and events.
--
-- Times named *_at are microseconds of wall-clock time, *_boottime microseconds of CLOCK_BOOTTIME (comparable within one
-- boot_id). Counters are in base units and NULL where unknown. `usage_sources` has a letter for each counter in the order
-- of the columns (cpu_usec first): F kernel-final, K kernel, R rusage, P procfs, S said by the program, - unknown; counters
-- that later versions add come at its end.
--
-- How lists are answered with ten million tasks. Lists are newest first (by seq), with a cursor ("older than seq"), and
-- filter by any of subsystem, task type, owner, status, creator and time of creation. An index for each combination would
-- cost every insert a dozen B-trees, so there are two, and two small tables:
--
--   no filter            the table itself, backwards
--   subsystem, task_type,
--   owner, status        task_counts names the combinations that exist (some hundreds); task_registry_group holds the
--                        tasks of each one in order of seq. A list merges the combinations that match: a seek for each,
--                        and one for each task found, whatever the filter, and no task is read that does not match.
--   creator              task_registry_creator; other filters are applied to what it yields, in bounded slices
--   time                 task_spans: first and last creation time of each 1,024 tasks. The wall clock may step, so times
--                        need not rise with seq; spans stay right then, and cost one row where an index costs 1,024.
--
-- An insert touches the table, three index leaves (task_id, group, creator if there is one) and two hot rows; a change of
-- status moves one index entry and two counters.

CREATE TABLE task_registry (
  seq                    INTEGER PRIMARY KEY AUTOINCREMENT,
  task_id                TEXT    NOT NULL UNIQUE,
  subsystem              TEXT    NOT NULL,
  task_type              TEXT    NOT NULL,
  title                  TEXT    NOT NULL,
  description            TEXT,
  created_by             TEXT,
  kind                   TEXT    NOT NULL CHECK (kind IN ('launched', 'reported')),
  owner_uid              INTEGER NOT NULL,
  run_uid                INTEGER NOT NULL,
  run_gid                INTEGER NOT NULL,
  priority               INTEGER NOT NULL CHECK (priority BETWEEN 1 AND 10),
  metadata               TEXT,
  argv                   TEXT,
  cwd                    TEXT,
  content_hash           BLOB    NOT NULL,

  status                 TEXT    NOT NULL CHECK (status IN ('pending', 'active', 'verifying', 'completed', 'failed',
                                                            'cancelled', 'lost')),
  outcome                TEXT    NOT NULL DEFAULT '',
  message                TEXT,
  attempt                INTEGER NOT NULL DEFAULT 0,
  attempts               INTEGER NOT NULL DEFAULT 1,
  backend                TEXT,
  cgroup                 TEXT,
  pid                    INTEGER,
  exit_status            INTEGER,
  exit_signal            INTEGER,
  cancel_requested       INTEGER NOT NULL DEFAULT 0,

  boot_id                BLOB    NOT NULL,
  created_at             INTEGER NOT NULL,
  created_boottime       INTEGER NOT NULL,
  started_at             INTEGER,
  started_boottime       INTEGER,
  completed_at           INTEGER,
  duration_seconds       REAL,

  cpu_usec               INTEGER,
  cpu_user_usec          INTEGER,
  cpu_system_usec        INTEGER,
  cpu_throttled_usec     INTEGER,
  cpu_nr_throttled       INTEGER,
  memory_current_bytes   INTEGER,
  memory_peak_bytes      INTEGER,
  memory_anon_peak_bytes INTEGER,
  memory_swap_peak_bytes INTEGER,
  oom_kills              INTEGER,
  io_read_bytes          INTEGER,
  io_write_bytes         INTEGER,
  io_read_ops            INTEGER,
  io_write_ops           INTEGER,
  psi_cpu_some_usec      INTEGER,
  psi_cpu_full_usec      INTEGER,
  psi_memory_some_usec   INTEGER,
  psi_memory_full_usec   INTEGER,
  psi_io_some_usec       INTEGER,
  psi_io_full_usec       INTEGER,
  pids_peak              INTEGER,
  pids_current           INTEGER,
  usage_sources          TEXT    NOT NULL DEFAULT '',

  cpu_seconds            REAL    GENERATED ALWAYS AS (cpu_usec / 1000000.0) VIRTUAL,
  memory_mb              REAL    GENERATED ALWAYS AS (memory_peak_bytes / 1048576.0) VIRTUAL,
  disk_mb                REAL    GENERATED ALWAYS AS ((io_read_bytes + io_write_bytes) / 1048576.0) VIRTUAL
) STRICT;

CREATE INDEX task_registry_group ON task_registry (subsystem, task_type, owner_uid, status);
CREATE INDEX task_registry_creator ON task_registry (created_by) WHERE created_by IS NOT NULL;

-- One row for each run of a task's command.
CREATE TABLE task_attempts (
  task_id                TEXT    NOT NULL,
  attempt                INTEGER NOT NULL,
  backend                TEXT    NOT NULL,
  cgroup                 TEXT,
  pid                    INTEGER,
  keeper_pid             INTEGER,
  started_at             INTEGER,
  ended_at               INTEGER,
  exit_kind              TEXT    NOT NULL,
  exit_value             INTEGER NOT NULL DEFAULT 0,
  flags                  INTEGER NOT NULL DEFAULT 0,

  cpu_usec               INTEGER,
  cpu_user_usec          INTEGER,
  cpu_system_usec        INTEGER,
  cpu_throttled_usec     INTEGER,
  cpu_nr_throttled       INTEGER,
  memory_current_bytes   INTEGER,
  memory_peak_bytes      INTEGER,
  memory_anon_peak_bytes INTEGER,
  memory_swap_peak_bytes INTEGER,
  oom_kills              INTEGER,
  io_read_bytes          INTEGER,
  io_write_bytes         INTEGER,
  io_read_ops            INTEGER,
  io_write_ops           INTEGER,
  psi_cpu_some_usec      INTEGER,
  psi_cpu_full_usec      INTEGER,
  psi_memory_some_usec   INTEGER,
  psi_memory_full_usec   INTEGER,
  psi_io_some_usec       INTEGER,
  psi_io_full_usec       INTEGER,
  pids_peak              INTEGER,
  pids_current           INTEGER,
  usage_sources          TEXT    NOT NULL DEFAULT '',

  UNIQUE (task_id, attempt)
) STRICT;

-- What a task had used at a moment. Rows are appended in the order in which they were taken, so those of one task come
-- out of its index in order of time.
CREATE TABLE task_resource_snapshots (
  number                 INTEGER PRIMARY KEY,
  task_id                TEXT    NOT NULL,
  attempt                INTEGER NOT NULL,
  taken_at               INTEGER NOT NULL,
  elapsed_usec           INTEGER NOT NULL,

  cpu_usec               INTEGER,
  cpu_user_usec          INTEGER,
  cpu_system_usec        INTEGER,
  cpu_throttled_usec     INTEGER,
  cpu_nr_throttled       INTEGER,
  memory_current_bytes   INTEGER,
  memory_peak_bytes      INTEGER,
  memory_anon_peak_bytes INTEGER,
  memory_swap_peak_bytes INTEGER,
  oom_kills              INTEGER,
  io_read_bytes          INTEGER,
  io_write_bytes         INTEGER,
  io_read_ops            INTEGER,
  io_write_ops           INTEGER,
  psi_cpu_some_usec      INTEGER,
  psi_cpu_full_usec      INTEGER,
  psi_memory_some_usec   INTEGER,
  psi_memory_full_usec   INTEGER,
  psi_io_some_usec       INTEGER,
  psi_io_full_usec       INTEGER,
  pids_peak              INTEGER,
  pids_current           INTEGER,
  usage_sources          TEXT    NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX task_resource_snapshots_task ON task_resource_snapshots (task_id);

-- Everything that happened, numbered without reuse (AUTOINCREMENT: a Monitor resumes from a number even when the newest
-- rows were deleted). Rows may be deleted.
CREATE TABLE task_events (
  number    INTEGER PRIMARY KEY AUTOINCREMENT,
  timestamp INTEGER NOT NULL,
  topic     TEXT    NOT NULL,
  task_id   TEXT,
  subsystem TEXT,
  detail    TEXT
) STRICT;

CREATE INDEX task_events_task ON task_events (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX task_events_subsystem ON task_events (subsystem) WHERE subsystem IS NOT NULL;

-- The sealed specification and its ticket, until the task has ended. It holds the environment, so the writer deletes with
-- secure_delete, and the row is never copied anywhere else.
CREATE TABLE task_specs (
  task_id TEXT NOT NULL UNIQUE,
  spec    BLOB NOT NULL,
  ticket  BLOB NOT NULL
) STRICT;

-- How many tasks each combination has: for statistics, which must not count rows, and for lists (see above).
CREATE TABLE task_counts (
  subsystem TEXT    NOT NULL,
  task_type TEXT    NOT NULL,
  owner_uid INTEGER NOT NULL,
  status    TEXT    NOT NULL,
  tasks     INTEGER NOT NULL,
  PRIMARY KEY (subsystem, task_type, owner_uid, status)
) STRICT, WITHOUT ROWID;

-- First and last time of creation among the tasks with seq >> 10 = block.
CREATE TABLE task_spans (
  block         INTEGER PRIMARY KEY,
  first_created INTEGER NOT NULL,
  last_created  INTEGER NOT NULL
) STRICT;

CREATE TRIGGER task_registry_inserted AFTER INSERT ON task_registry BEGIN
  INSERT INTO task_counts VALUES (NEW.subsystem, NEW.task_type, NEW.owner_uid, NEW.status, 1)
    ON CONFLICT DO UPDATE SET tasks = tasks + 1;
  INSERT INTO task_spans VALUES (NEW.seq >> 10, NEW.created_at, NEW.created_at)
    ON CONFLICT DO UPDATE SET first_created = min(first_created, excluded.first_created),
                              last_created = max(last_created, excluded.last_created);
END;

CREATE TRIGGER task_registry_status_changed AFTER UPDATE OF status ON task_registry WHEN OLD.status <> NEW.status BEGIN
  UPDATE task_counts SET tasks = tasks - 1
    WHERE subsystem = OLD.subsystem AND task_type = OLD.task_type AND owner_uid = OLD.owner_uid AND status = OLD.status;
  INSERT INTO task_counts VALUES (NEW.subsystem, NEW.task_type, NEW.owner_uid, NEW.status, 1)
    ON CONFLICT DO UPDATE SET tasks = tasks + 1;
END;

CREATE TRIGGER task_registry_deleted AFTER DELETE ON task_registry BEGIN
  UPDATE task_counts SET tasks = tasks - 1
    WHERE subsystem = OLD.subsystem AND task_type = OLD.task_type AND owner_uid = OLD.owner_uid AND status = OLD.status;
END;

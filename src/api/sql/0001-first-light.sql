-- Tasks, their attempts, snapshots and events.
--
-- Times named *_at are microseconds of wall-clock time, *_boottime microseconds of CLOCK_BOOTTIME (comparable within one
-- boot_id). Counters are in base units and NULL where unknown. `usage_sources` has a letter for each counter in the order
-- of the columns (cpu_usec first): F kernel-final, K kernel, R rusage, P procfs, S said by the program, - unknown; counters
-- that later versions add come at its end.

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

  status                 TEXT    NOT NULL CHECK (status IN ('pending', 'active', 'verifying', 'completed', 'failed', 'cancelled', 'lost')),
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

-- One partial index for the few that are open, and one for each way in which lists are asked for.
CREATE INDEX task_registry_open ON task_registry (status, seq) WHERE completed_at IS NULL;
CREATE INDEX task_registry_status ON task_registry (status, seq);
CREATE INDEX task_registry_subsystem ON task_registry (subsystem, task_type, seq);
CREATE INDEX task_registry_owner ON task_registry (owner_uid, seq);
CREATE INDEX task_registry_created ON task_registry (created_at);

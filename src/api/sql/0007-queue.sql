-- The queue: why a pending task may not start, besides that it is not its turn.
--
-- after_tasks are ids, separated by commas, of tasks that must have completed; unique_key is what no two open tasks of one owner and
-- subsystem have. not_before is wall-clock time; what counts is not_before_boottime, of the boot boot_id, made from the former
-- again after a reboot. Both are NULL but between two attempts.

ALTER TABLE task_registry ADD COLUMN after_tasks TEXT;
ALTER TABLE task_registry ADD COLUMN unique_key TEXT;
ALTER TABLE task_registry ADD COLUMN held INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1));
ALTER TABLE task_registry ADD COLUMN not_before INTEGER;
ALTER TABLE task_registry ADD COLUMN not_before_boottime INTEGER;

-- A task's row has the account of its last attempt; here is what all of them used.
CREATE VIEW task_totals AS
  SELECT task_id                AS task_id,
         count(*)               AS attempts,
         sum(cpu_usec)          AS cpu_usec,
         max(memory_peak_bytes) AS memory_peak_bytes,
         sum(oom_kills)         AS oom_kills,
         sum(io_read_bytes)     AS io_read_bytes,
         sum(io_write_bytes)    AS io_write_bytes,
         sum(net_rx_bytes)      AS net_rx_bytes,
         sum(net_tx_bytes)      AS net_tx_bytes
    FROM task_attempts
   GROUP BY task_id;

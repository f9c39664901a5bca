-- Deadlines and ladders.
--
-- sla_deadline is wall-clock time: what was promised. What is enforced is sla_deadline_boottime, of the boot sla_boot_id; after a
-- reboot it is made from the former again. Both are NULL while the clock of a deadline that counts from the start of its task
-- has not started; sla_span, microseconds from the start of that clock to the deadline, is known from the beginning.
--
-- sla_ladder is a JSON array of what happens on the way to the deadline and behind it, and what became of it. It is read and
-- written with its task and never without, hence no table; task_ladder_steps shows it as one.

ALTER TABLE task_registry ADD COLUMN sla_span INTEGER;
ALTER TABLE task_registry ADD COLUMN sla_deadline INTEGER;
ALTER TABLE task_registry ADD COLUMN sla_deadline_boottime INTEGER;
ALTER TABLE task_registry ADD COLUMN sla_boot_id BLOB;
ALTER TABLE task_registry ADD COLUMN sla_ladder TEXT;
ALTER TABLE task_registry ADD COLUMN sla_owner_may_extend INTEGER;
ALTER TABLE task_registry ADD COLUMN sla_met INTEGER;
ALTER TABLE task_registry ADD COLUMN sla_margin_seconds REAL;

-- One row for each step of a task's ladder; step NULL: the deadline itself.
CREATE VIEW task_ladder_steps AS
  SELECT t.task_id                                        AS task_id,
         json_extract(s.value, '$.step')                  AS step,
         json_extract(s.value, '$.do')                    AS action,
         json_extract(s.value, '$.due_at')                AS due_at,
         json_extract(s.value, '$.fired_at')              AS fired_at,
         json_extract(s.value, '$.lateness_usec')         AS lateness_usec,
         json_extract(s.value, '$.state')                 AS state,
         json_extract(s.value, '$.message')               AS message
    FROM task_registry AS t, json_each(t.sla_ladder) AS s
   WHERE t.sla_ladder IS NOT NULL;

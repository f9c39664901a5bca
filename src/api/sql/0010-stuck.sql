-- What was found when a task last stood still.
--
-- JSON text of an object: the rule that was met, the episode (counted from 1 for each task), the attempt, since when and when it was
-- found, over_at when it has gone on since; `evidence`, which may quote the task's output; `ladder`, what was done about it, as in
-- sla_ladder; `state`, what reeved itself has to know after a restart. NULL: it never was.

ALTER TABLE task_registry ADD COLUMN stuck TEXT;

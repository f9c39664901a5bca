-- Where the output of a task is: "file" (of the registry), "journal" (under the task's id), "caller" (the descriptors that it was
-- given); NULL for none, and for a process that was attached, whose output is its own.

ALTER TABLE task_registry ADD COLUMN output TEXT CHECK (output IN ('file', 'journal', 'caller'));

-- Until now it was in the file or, for a few, with the caller, which cannot be told any more.
UPDATE task_registry SET output = 'file' WHERE kind = 'launched';

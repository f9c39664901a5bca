/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The writer's view of the file system: SQLite's own, but what a transaction appends to the write-ahead log reaches
 * the kernel in large pieces. */

#define STORE_VFS_NAME "reeve-writer"

/* What of the log waits at the most; more is written. A transaction of one task is about 80 KiB. SQLite's own files take
 * less than 128 KiB at once: of a larger size they look at the lower 17 bits only. */
#define STORE_VFS_BUFFER (124 * 1024)

/* Makes the name known to SQLite; any number of times, by any thread. A result code of SQLite. */
int store_vfs_register(void);

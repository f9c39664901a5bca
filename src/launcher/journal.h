/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A stream into the journal, for a task that wants its output there. */

/* Connects to journald's stream socket at `path` as whoever the caller is at this moment, and names the stream
 * `identifier` (SYSLOG_IDENTIFIER). Returns the descriptor, close-on-exec, or a negative errno: -ENOENT, -ECONNREFUSED
 * without a journald, -EAGAIN if it did not take the connection in time. Async-signal-safe. */
int journal_connect(const char *path, const char *identifier);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From a record to the account of its attempt. */

#include "common/record/record.h"
#include "daemon/model/task-row.h"

/* Fills a row from a record that has at least started: place, pids and times; and once it ended, how it ended and the usage: first
 * what the final cgroup files say (kernel-final), then, for each counter that they do not have, what wait4 (rusage) and
 * /proc/PID/io (procfs) said. The row owns its strings: attempt_row_done(). 0 or -ENOMEM. */
int attempt_from_record(const Record *r, AttemptRow *ret);

/* How long the main process ran, by the clock that nobody sets. */
usec_t record_duration(const Record *r);

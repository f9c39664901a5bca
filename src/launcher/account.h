/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a dead child used goes into the record of its task before the child is reaped, so that no moment exists in
 * which a kill of the keeper could lose it. Async-signal-safe. */

#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>

#include "common/record/record.h"

typedef struct Corpse {
        siginfo_t info; /* si_pid, si_code, si_status */
        struct rusage rusage;
} Corpse;

/* A dead child of the caller that is not reaped yet: 1 and *ret; 0: none at the moment; -ECHILD: no children. */
int account_next(Corpse *ret);

/* Adds the usage of a corpse to the record; for the main process also its status, the time and
 * RECORD_FLAG_REAPED (nothing happens if that flag is set already). */
void account_add(Record *r, int proc_fd, const Corpse *c, bool is_main);

/* The main process has ended: enters the time, and how, unless the record knows that its exec failed. */
void account_end(Record *r, RecordExit kind, int value);

/* Reaps it. */
void account_reap(const Corpse *c);

/* Copies the counter files of a leaf that is empty for good into the record, unless somebody has removed it: those of its `controllers` (1 <<
 * CgroupController), again after `settle_usec` until two reads agree if that is not 0. */
void account_read_files(Record *r, int leaf_fd, uint32_t controllers, usec_t settle_usec);

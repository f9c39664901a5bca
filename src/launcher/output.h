/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The output file of an attempt, and the cap that keeps it from filling the disk. */

#include <sys/types.h>

#include "basic/time.h"
#include "common/record/record.h"

typedef struct OutputCap {
        int fd; /* borrowed */
        uint64_t cap_bytes, last_size, punched_to;
        usec_t interval;
        usec_t next_boottime; /* when to look again; USEC_INFINITY: never */
} OutputCap;

/* Creates <dir>/<name> for appending, root:<gid> 0640. -EEXIST if there is one. */
int output_create(int dir_fd, const char *name, gid_t gid, int *ret_fd);

/* A cap of 0 or no descriptor: nothing is ever done. */
void output_cap_init(OutputCap *o, int fd, uint64_t cap_bytes);

/* If it is time (or `force`), looks at the size and drops the middle of what is beyond the cap: the first quarter
 * of the cap and the last three stay. Sets RECORD_FLAG_PUNCHED. Async-signal-safe. */
void output_cap_check(OutputCap *o, Record *r, usec_t now_boottime, bool force);

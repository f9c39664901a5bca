/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hears of records: a record whose last writable descriptor was closed has either ended, or lost its keeper. */

#include <systemd/sd-event.h>

#include "basic/error.h"

typedef struct RecordWatch RecordWatch;

/* `name` is "<task>.<attempt>"; NULL after events were lost: everything must be looked at. */
typedef void (*record_closed_t)(const char *name, void *userdata);

/* Watches the directory of records (it must exist). The descriptor of the directory is kept for record_map(). */
int record_watch_new(sd_event *event, const char *path, record_closed_t callback, void *userdata,
                     RecordWatch **ret, ReeveError *reterr);
RecordWatch *record_watch_free(RecordWatch *w);
DEFINE_CLEANUP_FUNC(RecordWatch *, record_watch_free)

int record_watch_dir_fd(const RecordWatch *w);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The immutable log as a file: what `reeve log export` writes, and what `reeve log verify` checks of a running registry. */

#include <stdio.h>

#include "basic/error.h"
#include "common/tlog/checkpoint.h"
#include "common/tlog/log-entry.h"
#include "reeve/reeve.h"

/* Asks for a checkpoint, and its key. */
int log_fetch_checkpoint(ReeveConnection *c, char note[static CHECKPOINT_TEXT_MAX], CheckpointKey *key,
                         Checkpoint *ret, ReeveError *reterr);

/* Calls back with every entry from `from` up to `end`, oldest first, as it is in the registry. A positive or negative result
 * of `each` ends it and is returned. */
typedef int (*log_each_t)(const json_t *entry, void *userdata, ReeveError *reterr);
int log_fetch_entries(ReeveConnection *c, uint64_t from, uint64_t end, log_each_t each, void *userdata,
                      ReeveError *reterr);

/* An entry as the registry gives it; its texts are those of `json`, NULL where there is none. */
LogEntry log_entry_from_json(const json_t *json);

/* Writes all entries that a new checkpoint covers, and the checkpoint. */
int log_export(ReeveConnection *c, FILE *to, CheckpointKey *ret_key, ReeveError *reterr);

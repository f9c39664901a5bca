/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A running registry's log, entry by entry: into a file, or for whoever verifies it.
 *
 * The checkpoint is asked for first: it says how many entries are to come, so that what is added meanwhile does not matter.
 * Entries are asked for by pages, oldest first. What is written are the bytes that were hashed and not the registry's JSON:
 * a value that no entry can have is an error here, and is not first found by somebody who verifies the file. */

#include "cli/log-export.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "basic/strings.h"
#include "common/json/json.h"
#include "common/tlog/log-entry.h"

#define PAGE 1000

int log_fetch_checkpoint(ReeveConnection *c, char note[static CHECKPOINT_TEXT_MAX], CheckpointKey *key,
                         Checkpoint *ret, ReeveError *reterr)
{
        _cleanup_json_ json_t *reply = NULL;

        int r = reeve_call(c, "LogCheckpoint", NULL, &reply, reterr);
        if (r < 0)
                return r;
        const char *text = json_get_string(reply, "note"), *key_text = json_get_string(reply, "key");
        if (!text || strlen(text) >= CHECKPOINT_TEXT_MAX || !key_text)
                return reeve_error_set(reterr, REEVE_ERROR_INTERNAL, "note",
                                       "the registry sent no checkpoint");
        strcpy(note, text);
        r = checkpoint_key_parse(key_text, key, reterr);
        return r < 0 ? r : checkpoint_open(note, key, ret, reterr);
}

int log_fetch_entries(ReeveConnection *c, uint64_t from, uint64_t end, log_each_t each, void *userdata,
                      ReeveError *reterr)
{
        while (from < end) {
                _cleanup_json_ json_t *reply = NULL;
                _cleanup_json_ json_t *page = json_pack("{sI sI}", "from", (json_int_t)from, "limit",
                                                        (json_int_t)MIN(end - from, (uint64_t)PAGE));
                json_t *entry;
                size_t i;

                int r = reeve_call(c, "Log", page, &reply, reterr);
                if (r < 0)
                        return r;
                uint64_t before = from;
                json_array_foreach(json_object_get(reply, "entries"), i, entry) {
                        r = each(entry, userdata, reterr);
                        if (r != 0)
                                return r;
                        from++;
                }
                if (from == before)
                        return reeve_error_set(reterr, REEVE_ERROR_INTERNAL, "entries",
                                               "the registry's log ends at entry %" PRIu64
                                               ", before its checkpoint",
                                               from);
        }
        return 0;
}

LogEntry log_entry_from_json(const json_t *json)
{
        return (LogEntry){
                .number = json_get_integer(json, "number", 0),
                .timestamp = json_get_integer(json, "timestamp", 0),
                .action = json_get_string(json, "action"),
                .task_id = json_get_string(json, "task_id"),
                .subsystem = json_get_string(json, "subsystem"),
                .detail = json_get_string(json, "detail"),
        };
}

static int write_entry(const json_t *json, void *userdata, ReeveError *reterr)
{
        FILE *to = userdata;
        LogEntry e = log_entry_from_json(json);

        if (!log_entry_is_valid(&e))
                return reeve_error_set(reterr, REEVE_ERROR_INTERNAL, "entries",
                                       "entry %" PRId64 " has values that no entry can have",
                                       json_get_integer(json, "entry", -1));
        size_t size = log_entry_size(&e);
        _cleanup_free_ char *text = malloc(size);
        if (!text)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot export the log");
        log_entry_write(&e, text);
        if (fwrite(text, 1, size, to) != size)
                return reeve_error_errno(reterr, errno, NULL, "cannot write the export");
        return 0;
}

int log_export(ReeveConnection *c, FILE *to, CheckpointKey *ret_key, ReeveError *reterr)
{
        char note[CHECKPOINT_TEXT_MAX];
        Checkpoint checkpoint;

        int r = log_fetch_checkpoint(c, note, ret_key, &checkpoint, reterr);
        if (r >= 0)
                r = log_fetch_entries(c, 0, checkpoint.size, write_entry, to, reterr);
        if (r < 0)
                return r;
        if (fprintf(to, "\n%s", note) < 0 || fflush(to) == EOF)
                return reeve_error_errno(reterr, errno, NULL, "cannot write the export");
        return 0;
}

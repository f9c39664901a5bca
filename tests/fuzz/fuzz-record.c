/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A record as bytes. The input stands at the beginning of a record's size, the rest is zero, so that small inputs
 * reach deep. What is sound has strings that end and files that stay inside; and the walk over the files stays
 * inside whether it is sound or not, because a writer may change it while it is read. */

#include "common/record/record.h"

#include <errno.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#define NAME "t.1"

/* Walks the files, reads every byte of them, and gives the number of bytes. */
static size_t walk(const Record *r)
{
        const char *begin = (const char *)r, *end = begin + RECORD_SIZE, *name, *text;
        size_t cursor = 0, before = 0, n_name, n_text, total = 0;

        while (record_next_file(r, &cursor, &name, &n_name, &text, &n_text) > 0) {
                assert(cursor > before);
                before = cursor;
                assert(name >= begin + RECORD_SIZE - RECORD_FILES_SIZE && name + n_name == text);
                assert(text + n_text <= end);
                total += n_name + n_text;
        }
        return total;
}

static void check_sound(const Record *r)
{
        RecordPhase phase = record_phase(r);

        assert(phase > RECORD_NEW && phase < _RECORD_PHASE_MAX);
        assert(strcmp(r->task_id, "t") == 0 && r->attempt == 1);
        assert(strnlen(r->cgroup, sizeof(r->cgroup)) < sizeof(r->cgroup));
        assert(r->cgroup[0] != '/' && !strstr(r->cgroup, "/../"));
        assert(record_backend_name((RecordBackend)r->backend));
        if (phase == RECORD_STARTED)
                assert(r->task_pid > 0 && r->keeper_pid > 0);
        if (phase == RECORD_ENDED) {
                assert(record_exit_name((RecordExit)r->exit_kind));
                assert(strnlen(r->exec_path, sizeof(r->exec_path)) < sizeof(r->exec_path));
                assert(walk(r) <= r->files_length);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ Record *r = calloc(1, RECORD_SIZE);
        if (!r)
                return 0;

        if (size > 0)
                memcpy(r, data, MIN(size, (size_t)RECORD_SIZE));
        int result = record_validate(r, RECORD_SIZE, NAME);
        assert(result == 0 || result == -EBADMSG || result == -EAGAIN);
        if (result == 0)
                check_sound(r);
        walk(r);

        /* A file of any other size never is one. */
        if (size != RECORD_SIZE)
                assert(record_validate(r, size, NAME) == (size == 0 ? -EAGAIN : -EBADMSG));
        return 0;
}

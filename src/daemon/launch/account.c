/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The keeper stored the counter files as the kernel wrote them; they are parsed here, where a mistake has no privilege. The
 * fall-backs are chosen field by field, so that a host without (say) the memory controller still has exact CPU time and an
 * honest "rusage" beside its memory peak.
 *
 * A cgroup without processes has no anonymous memory: what the final memory.stat says of that is no peak, and is left
 * to those who took samples.
 *
 * rusage's peak is the largest single process, not the sum: it is what such a host knows, and its source says so. */

#include "daemon/launch/account.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void parse_files(const Record *r, Usage *u)
{
        const char *name, *text;
        size_t cursor = 0, n_name, n_text;
        char name_z[64], text_z[RECORD_FILES_SIZE + 1];

        while (record_next_file(r, &cursor, &name, &n_name, &text, &n_text) > 0) {
                if (n_name >= sizeof(name_z) || n_text >= sizeof(text_z))
                        continue;
                memcpy(name_z, name, n_name);
                name_z[n_name] = '\0';
                memcpy(text_z, text, n_text);
                text_z[n_text] = '\0';
                usage_parse_file(u, name_z, text_z, USAGE_KERNEL_FINAL);
        }
        usage_clear(u, USAGE_MEMORY_ANON_PEAK);
}

static void parse_fallback(const Record *r, Usage *u)
{
        if (r->exit_kind != RECORD_EXIT_EXEC_FAILED && (r->flags & RECORD_FLAG_REAPED)) {
                usage_set(u, USAGE_CPU, r->rusage.user_usec + r->rusage.system_usec, USAGE_RUSAGE);
                usage_set(u, USAGE_CPU_USER, r->rusage.user_usec, USAGE_RUSAGE);
                usage_set(u, USAGE_CPU_SYSTEM, r->rusage.system_usec, USAGE_RUSAGE);
                usage_set(u, USAGE_MEMORY_PEAK, r->rusage.max_rss_bytes, USAGE_RUSAGE);
        }
        if (r->io.valid) {
                usage_set(u, USAGE_IO_READ, r->io.read_bytes, USAGE_PROCFS);
                usage_set(u, USAGE_IO_WRITE, r->io.write_bytes, USAGE_PROCFS);
        }
}

static void set_end(const Record *r, AttemptRow *ret)
{
        Usage fallback = { 0 };

        ret->exit_kind = r->exit_kind;
        ret->exit_value = r->exit_value;
        ret->ended_realtime = r->ended_realtime_usec;
        parse_files(r, &ret->usage);
        parse_fallback(r, &fallback);
        usage_fill(&ret->usage, &fallback);
}

int attempt_from_record(const Record *r, AttemptRow *ret)
{
        assert(r);
        assert(ret);

        *ret = (AttemptRow){
                .attempt = r->attempt,
                .backend = r->backend,
                .pid = r->task_pid,
                .keeper_pid = r->keeper_pid,
                .started_realtime = r->started_realtime_usec,
                .flags = r->flags,
        };
        if (record_phase(r) >= RECORD_ENDED)
                set_end(r, ret);

        ret->task_id = strdup(r->task_id);
        ret->cgroup = strdup(r->cgroup);
        if (!ret->task_id || !ret->cgroup) {
                attempt_row_done(ret);
                return -ENOMEM;
        }
        return 0;
}

usec_t record_duration(const Record *r)
{
        assert(r);

        if (r->started_boottime_usec == 0)
                return 0;
        return usec_sub(r->ended_boottime_usec, r->started_boottime_usec);
}

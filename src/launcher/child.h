/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The task between clone and exec. Everything that it needs was prepared by the launcher; nothing here allocates. */

#include <limits.h>
#include <sys/types.h>

#include "common/record/record.h"
#include "common/spec/spec.h"

/* What goes through the exec pipe to the launcher. First one with error 0 (the task is about to execute), then
 * end of file (it did) or one with the errno (it did not). */
typedef struct ChildReport {
        int32_t error; /* positive errno; 0: started */
        int32_t pid;
        uint64_t start, realtime_usec, boottime_usec; /* when started */
        uint64_t cgroup_id;                           /* likewise; of a scope's task it is known only now */
        char path[256];                               /* what could not be executed or entered */
} ChildReport;

static_assert(sizeof(ChildReport) <= PIPE_BUF, "reports are written at once");

typedef struct Child {
        const Spec *spec;
        char *const *argv, *const *env;
        int program_fd;          /* the opened program, 3 or higher; -EBADF: what argv[0] names */
        bool is_script;          /* its interpreter opens program_fd once more */
        const char *search_path; /* for a command without a slash; never NULL */
        const gid_t *groups;
        size_t n_groups;
        int stdio[SPEC_STDIO_COUNT]; /* 3 or higher, close-on-exec */
        int oom_score_adj;           /* INT_MIN: as inherited */
        int report_fd;               /* write end of the exec pipe, close-on-exec */
        int proc_fd;
} Child;

/* Records that the task started, becomes what the specification says, executes it. */
_noreturn_ void child_run(const Child *c, Record *r);

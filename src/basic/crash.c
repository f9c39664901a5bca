/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The names are read once, at start, because a keeper and the child before exec may not call getenv(), and because a
 * task must not inherit the effect: what it inherits is only the environment that its author wrote. */

#include "basic/crash.h"

#ifdef REEVE_CRASH_POINTS

#        include <signal.h>
#        include <stdlib.h>
#        include <string.h>
#        include <unistd.h>

#        include "basic/macro.h"

static const char *armed_process;
static size_t armed_process_length;
static const char *armed_step;
static const char *once_path;

void crash_init(void)
{
        const char *at = getenv("REEVE_CRASH_AT");
        const char *colon = at ? strchr(at, ':') : NULL;

        if (!colon)
                return;
        armed_process = at;
        armed_process_length = (size_t)(colon - at);
        armed_step = colon + 1;
        once_path = getenv("REEVE_CRASH_ONCE");
}

void crash_point(const char *process, const char *step, pid_t pid)
{
        assert(process);
        assert(step);

        if (!armed_step || strcmp(armed_step, step) != 0)
                return;
        if (strlen(process) != armed_process_length ||
            memcmp(process, armed_process, armed_process_length) != 0)
                return;
        if (once_path && unlink(once_path) < 0)
                return;
        kill(pid == 0 ? getpid() : pid, SIGKILL);
}

#else

/* An empty translation unit is not ISO C. */
typedef int CrashPointsAreOff;

#endif

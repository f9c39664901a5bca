/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The names are read once, at start, because a keeper and the child before exec may not call getenv(), and because a
 * task must not inherit the effect: what it inherits is only the environment that its author wrote. */

#include "basic/crash.h"

#ifdef REEVE_CRASH_POINTS

#        include <fcntl.h>
#        include <limits.h>
#        include <signal.h>
#        include <stdatomic.h>
#        include <stdio.h>
#        include <stdlib.h>
#        include <string.h>
#        include <unistd.h>

#        include "basic/macro.h"
#        include "basic/parse.h"

static const char *armed_process;
static size_t armed_process_length;
static char armed_step[32];      /* "": none */
static _Atomic long passes_left; /* of it, with the one that counts */
static const char *once_path;
static char break_reached[PATH_MAX], break_go[PATH_MAX]; /* "": points kill */

void crash_init(void)
{
        const char *at = getenv("REEVE_CRASH_AT");
        const char *colon = at ? strchr(at, ':') : NULL;

        if (!colon)
                return;
        armed_process = at;
        armed_process_length = (size_t)(colon - at);
        const char *nth = strchrnul(colon + 1, '#');
        snprintf(armed_step, sizeof(armed_step), "%.*s", (int)(nth - colon - 1), colon + 1);
        int passes = 1;
        if (*nth)
                (void)parse_int_range(nth + 1, 1, INT_MAX, &passes);
        passes_left = passes;
        once_path = getenv("REEVE_CRASH_ONCE");

        const char *dir = getenv("REEVE_BREAK_DIR");
        if (dir) {
                snprintf(break_reached, sizeof(break_reached), "%s/reached", dir);
                snprintf(break_go, sizeof(break_go), "%s/go", dir);
        }
}

/* Decimal digits of a pid and a newline; snprintf() is not async-signal-safe. */
static size_t format_pid(pid_t pid, char text[static 16])
{
        char digits[16];
        size_t n = 0, m = 0;

        for (; pid > 0; pid /= 10)
                digits[n++] = (char)('0' + pid % 10);
        while (n > 0)
                text[m++] = digits[--n];
        text[m++] = '\n';
        return m;
}

static void wait_here(pid_t pid)
{
        char text[16];

        int fd = open(break_reached, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return;
        ssize_t n = write(fd, text, format_pid(pid, text));
        close(fd);

        fd = open(break_go, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return;
        n = read(fd, text, 1);
        (void)n;
        close(fd);
}

void crash_point(const char *process, const char *step, pid_t pid)
{
        assert(process);
        assert(step);

        if (!armed_step[0] || strcmp(armed_step, step) != 0)
                return;
        if (strlen(process) != armed_process_length ||
            memcmp(process, armed_process, armed_process_length) != 0)
                return;
        if (--passes_left > 0)
                return;
        if (once_path && unlink(once_path) < 0)
                return;
        if (break_reached[0])
                wait_here(pid == 0 ? getpid() : pid);
        else
                kill(pid == 0 ? getpid() : pid, SIGKILL);
}

#else

/* An empty translation unit is not ISO C. */
typedef int CrashPointsAreOff;

#endif

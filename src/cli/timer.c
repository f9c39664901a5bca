/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* There is no scheduler in reeve: systemd has one, with a calendar, accuracy, persistence and a list of timers that
 * people know. So this only finds the words for systemd-run(1), and becomes it.
 *
 * The service stays in `reeve run` until its task has ended: so the timer does not start a second one meanwhile, `systemctl
 * status` tells how it went, `systemctl stop` cancels the task, and what it writes is in the journal too. */

#include "cli/timer.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "basic/strings.h"

static int add(char ***argv, const char *name, const char *value)
{
        _cleanup_free_ char *text = value ? string_printf("%s%s", name, value) : NULL;

        if (!value)
                return 0;
        return text ? strv_append(argv, text) : -ENOMEM;
}

/* systemd would expand variables of its own in it. */
static char *escape_dollars(const char *text)
{
        _cleanup_buffer_ Buffer b = { 0 };
        int r = 0;

        for (const char *p = text; r >= 0 && *p; p++)
                r = *p == '$' ? buffer_append_text(&b, "$$") : buffer_append(&b, p, 1);
        if (r >= 0 && b.size == 0)
                return strdup("");
        return r < 0 ? NULL : buffer_take(&b);
}

static int add_escaped(char ***argv, const char *text)
{
        _cleanup_free_ char *escaped = escape_dollars(text);
        return escaped ? strv_append(argv, escaped) : -ENOMEM;
}

static int make_argv(const TimerRequest *q, const char *reeve, char ***ret)
{
        _cleanup_(strv_freep) char **argv = NULL;

        int r = strv_append(&argv, "systemd-run");
        if (r >= 0 && geteuid() != 0)
                r = strv_append(&argv, "--user");
        if (r >= 0)
                r = add(&argv, "--on-calendar=", q->calendar);
        if (r >= 0)
                r = add(&argv, "--on-active=", q->active);
        if (r >= 0)
                r = add(&argv, "--description=", q->description);
        if (r >= 0)
                r = add(&argv, "--setenv=REEVE_SOCKET=", getenv("REEVE_SOCKET"));
        if (r >= 0)
                r = strv_append(&argv, "--");
        if (r >= 0)
                r = add_escaped(&argv, reeve);
        for (char **p = q->run; r >= 0 && *p; p++)
                r = add_escaped(&argv, *p);
        if (r >= 0)
                *ret = TAKE_PTR(argv);
        return r;
}

int timer_exec(const TimerRequest *q, ReeveError *reterr)
{
        _cleanup_(strv_freep) char **argv = NULL;
        char reeve[4096];

        assert(q && q->run);
        assert(q->calendar || q->active);

        if (access("/run/systemd/system", F_OK) < 0)
                return reeve_error_set(reterr, REEVE_ERROR_UNAVAILABLE,
                                       q->calendar ? "on-calendar" : "on-active",
                                       "timers are systemd's, and it does not run here");
        ssize_t n = readlink("/proc/self/exe", reeve, sizeof(reeve) - 1);
        if (n < 0)
                return reeve_error_errno(reterr, errno, NULL, "cannot find this program");
        reeve[n] = '\0';
        int r = make_argv(q, reeve, &argv);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot make a timer");
        execvp(argv[0], argv);
        return reeve_error_errno(reterr, errno, NULL, "cannot run systemd-run");
}

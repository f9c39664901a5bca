/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The line is drawn with carriage return and erase-to-end, and is erased before anything else is written, so that it
 * never mixes with the task's output on the same terminal. It is not drawn while the last line of that output is
 * unfinished: it would have to be written over it.
 *
 * The summary says of each number that is not a final one of the kernel where it comes from, so that nobody takes an
 * estimate for an account. */

#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "basic/strings.h"
#include "cli/terminal.h"
#include "common/clock.h"

void progress_erase(Progress *p)
{
        assert(p);

        if (p->shown)
                fputs("\r\033[K", stderr);
        fflush(stderr);
        p->shown = false;
}

void progress_set_line_open(Progress *p, bool open)
{
        assert(p);
        p->line_open = open;
}

static int append_counter(Buffer *b, const Usage *u, const char *name, UsageField f, bool sources)
{
        char text[USAGE_TEXT_SIZE];

        if (!usage_has(u, f))
                return 0;
        int r = buffer_printf(b, "%s%s %s", b->size > 0 ? ", " : "", name, usage_text(u, f, text));
        if (r >= 0 && sources && u->source[f] != USAGE_KERNEL_FINAL)
                r = buffer_printf(b, " (%s)", usage_source_name(u->source[f]));
        return r;
}

char *usage_sentence(const Usage *u, bool ended, bool sources)
{
        _cleanup_buffer_ Buffer b = { 0 };

        assert(u);

        bool now = !ended && usage_has(u, USAGE_MEMORY_CURRENT);
        if (append_counter(&b, u, "cpu", USAGE_CPU, sources) < 0 ||
            append_counter(&b, u, now ? "memory" : "memory peak",
                           now ? USAGE_MEMORY_CURRENT : USAGE_MEMORY_PEAK, sources) < 0 ||
            append_counter(&b, u, "read", USAGE_IO_READ, sources) < 0 ||
            append_counter(&b, u, "written", USAGE_IO_WRITE, sources) < 0 ||
            (u->value[USAGE_NET_RX] > 0 && append_counter(&b, u, "received", USAGE_NET_RX, sources) < 0) ||
            (u->value[USAGE_NET_TX] > 0 && append_counter(&b, u, "sent", USAGE_NET_TX, sources) < 0))
                return NULL; /* few tasks use the network: a 0 is not news */
        return buffer_take(&b);
}

/* "pending 3s (2 of 2 of healing/playbook run), 4 ahead, starts in about 20s" */
static char *waiting_sentence(const TaskView *t, usec_t now)
{
        char status[TASK_STATUS_TEXT_SIZE], span[32];
        _cleanup_buffer_ Buffer b = { 0 };

        if (buffer_append_text(&b, task_view_status_text(t, status)) < 0 ||
            (t->queue_ahead >= 0 && buffer_printf(&b, ", %" PRId64 " ahead", t->queue_ahead) < 0))
                return NULL;
        if (t->expected_start_at > 0 && t->expected_start_at <= now &&
            buffer_printf(&b, ", starts soon") < 0)
                return NULL;
        if (t->expected_start_at > now &&
            buffer_printf(&b, ", starts in about %s",
                          usec_format_span(t->expected_start_at - now, span, sizeof(span))) < 0)
                return NULL;
        return buffer_take(&b);
}

static char *running_sentence(const TaskView *t, usec_t now)
{
        _cleanup_free_ char *usage = usage_sentence(&t->usage, false, false);
        char span[32];

        if (!usage)
                return NULL;
        usec_format_span(task_view_elapsed(t, now), span, sizeof(span));
        return string_printf("%s%s %s%s%s", t->status, t->frozen ? " (frozen)" : "", span,
                             *usage ? ", " : "", usage);
}

void progress_show(Progress *p, const json_t *task)
{
        struct winsize size = { .ws_col = 80 };
        usec_t now = clock_realtime(clock_system());

        assert(p);

        TaskView t = task_view(task);
        if (p->line_open)
                return;
        (void)ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
        _cleanup_free_ char *line =
                        streq(t.status, "pending") ? waiting_sentence(&t, now) : running_sentence(&t, now);
        if (!line)
                return;
        /* One column less: a full line would make some terminals scroll. All of it is ASCII. */
        fprintf(stderr, "\r%.*s\033[K", size.ws_col > 1 ? size.ws_col - 1 : 79, line);
        fflush(stderr);
        p->shown = true;
}

static void print_summary(const TaskView *t)
{
        char status[TASK_STATUS_TEXT_SIZE], span[32];

        _cleanup_free_ char *usage = usage_sentence(&t->usage, true, true);
        fprintf(stderr, "reeve: %s: %s", t->id, task_view_status_text(t, status));
        if (task_view_elapsed(t, 0) > 0)
                fprintf(stderr, " after %s", usec_format_span(task_view_elapsed(t, 0), span, sizeof(span)));
        fprintf(stderr, "%s%s\n", usage && *usage ? ", " : "", usage ?: "");
        /* The message of a process that ended by itself only repeats how it did. */
        bool repeats = streq(t->outcome, "exit-code") || streq(t->outcome, "signal") ||
                       streq(t->outcome, "core-dump") || streq(t->message, t->status);
        if (*t->message && !repeats)
                fprintf(stderr, "reeve: %s: %s\n", t->id, t->message);
}

int summary_report(const json_t *task, JsonMode mode, bool quiet)
{
        assert(task);

        TaskView t = task_view(task);
        if (mode != JSON_MODE_OFF) {
                int status = json_print(mode, task);
                if (status != 0)
                        return status;
        } else if (!quiet)
                print_summary(&t);
        return task_view_exit_status(&t);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One event loop with up to three channels: Wait, whose answer is the end; Output, which shows what the task writes;
 * and Monitor for the line of progress. The end is reached when Wait has answered and the output, if asked for, has
 * been shown to its end. While the task is pending, it is asked for every second: what it waits for changes with what others do,
 * of which no event tells. A channel that fails for good ends the wait with its error, but for the progress, which is a
 * decoration.
 *
 * What a signal means: somebody who presses Ctrl-C, or a script that sends TERM, wants the work to stop, as it would
 * without reeve; so the task is cancelled, and what it says while it stops is still shown. A client that merely
 * disappears (terminal closed, SIGHUP, SIGKILL, a pipe that nobody reads) leaves the task alone: to go on without its
 * terminal is what a task is for. */

#include "cli/follow.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/fd.h"
#include "cli/base64.h"
#include "cli/channel.h"
#include "cli/progress.h"
#include "common/error-table.h"
#include "common/json/json.h"

#define LOOK_USEC       USEC_PER_SEC
#define RETRY_LOOK_USEC (10 * USEC_PER_SEC) /* while it runs */

typedef struct Follow {
        const FollowOptions *options;
        sd_event *event;
        Channel wait, output, monitor, look;
        sd_event_source *look_again; /* NULL: it is not pending any more */
        Progress progress;
        json_t *task;
        int64_t attempt, offset; /* of the next byte of output */
        int status;              /* what the wait failed with */
        bool cancelled;
} Follow;

static void end(Follow *f, int status)
{
        f->status = status;
        sd_event_exit(f->event, 0);
}

static void end_if_complete(Follow *f)
{
        if (f->task && (!f->options->output || f->output.done))
                end(f, 0);
}

static json_t *task_parameters(void *userdata)
{
        const Follow *f = ASSERT_PTR(userdata);
        return json_pack("{s:s}", "task_id", f->options->task_id);
}

static int on_wait_reply(json_t *reply, bool final, void *userdata)
{
        Follow *f = ASSERT_PTR(userdata);

        f->task = json_incref(json_object_get(reply, "task"));
        if (!f->task)
                return -EBADMSG;
        end_if_complete(f);
        return 0;
}

static void on_failure(const ReeveError *error, void *userdata)
{
        Follow *f = ASSERT_PTR(userdata);

        progress_erase(&f->progress);
        int status = session_error(error);
        if (error->code == REEVE_ERROR_UNAVAILABLE)
                fprintf(stderr, "reeve: the task may be running still, see: reeve wait %s\n",
                        f->options->task_id);
        end(f, status);
}

static json_t *output_parameters(void *userdata)
{
        const Follow *f = ASSERT_PTR(userdata);
        return json_pack("{s:s, s:I, s:I, s:b}", "task_id", f->options->task_id, "attempt",
                         (json_int_t)f->attempt, "offset", (json_int_t)f->offset, "follow", 1);
}

static int on_output_reply(json_t *reply, bool final, void *userdata)
{
        Follow *f = ASSERT_PTR(userdata);
        _cleanup_free_ void *data = NULL;
        size_t n = 0;

        int r = base64_decode(json_get_string(reply, "data") ?: "", &data, &n);
        if (r < 0)
                return r;
        progress_erase(&f->progress);
        int64_t attempt = json_get_integer(reply, "attempt", f->attempt);
        if (attempt != f->attempt && !f->options->quiet)
                fprintf(stderr, "reeve: attempt %" PRId64 "\n", attempt);
        r = fd_write_full(STDOUT_FILENO, data, n);
        if (r < 0)
                return r;
        f->attempt = attempt;
        f->offset = json_get_integer(reply, "offset", f->offset) + (int64_t)n;
        if (n > 0)
                progress_set_line_open(&f->progress, ((const char *)data)[n - 1] != '\n');
        end_if_complete(f);
        return 0;
}

/* Output may fail where waiting does not (it was given up to retention, or is not ours to read): say so, go on. */
static void on_output_failure(const ReeveError *error, void *userdata)
{
        Follow *f = ASSERT_PTR(userdata);

        progress_erase(&f->progress);
        fprintf(stderr, "reeve: cannot show the output: %s\n", error->text);
        end_if_complete(f);
}

static json_t *monitor_parameters(void *userdata)
{
        const Follow *f = ASSERT_PTR(userdata);
        return json_pack("{s:s, s:b}", "task_id", f->options->task_id, "usage", 1);
}

/* Events do not say what a pending task waits for. */
static bool is_shown_live(const json_t *task)
{
        return strcmp(json_get_string(task, "status") ?: "", "pending") != 0;
}

static int on_monitor_reply(json_t *reply, bool final, void *userdata)
{
        Follow *f = ASSERT_PTR(userdata);

        if (!f->task && is_shown_live(json_object_get(reply, "task")))
                progress_show(&f->progress, json_object_get(reply, "task"));
        return 0;
}

static void on_monitor_failure(const ReeveError *error, void *userdata)
{
        progress_erase(&ASSERT_PTR((Follow *)userdata)->progress);
}

/* ---- while it is pending ---- */

static int on_look_reply(json_t *reply, bool final, void *userdata)
{
        Follow *f = ASSERT_PTR(userdata);
        const json_t *task = json_object_get(reply, "task");

        if (f->task)
                return 0;
        progress_show(&f->progress, task);
        /* One that fails may be tried again. */
        sd_event_source_set_time_relative(f->look_again, is_shown_live(task) ? RETRY_LOOK_USEC : LOOK_USEC);
        sd_event_source_set_enabled(f->look_again, SD_EVENT_ONESHOT);
        return 0;
}

static void on_look_failure(const ReeveError *error, void *userdata) {}

static const ChannelHandlers look_handlers = { task_parameters, on_look_reply, on_look_failure };

static int on_look_again(sd_event_source *s, uint64_t usec, void *userdata)
{
        Follow *f = ASSERT_PTR(userdata);

        channel_done(&f->look);
        f->look = (Channel){ "Get", false, &look_handlers, f };
        if (channel_start(&f->look, f->event, NULL) < 0) {
                sd_event_source_set_time_relative(s, LOOK_USEC);
                sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        }
        return 0;
}

static const ChannelHandlers wait_handlers = { task_parameters, on_wait_reply, on_failure };
static const ChannelHandlers output_handlers = { output_parameters, on_output_reply, on_output_failure };
static const ChannelHandlers monitor_handlers = { monitor_parameters, on_monitor_reply, on_monitor_failure };

/* On a connection of its own, since the others are busy. */
static void cancel(Follow *f, int signal)
{
        _cleanup_(reeve_disconnectp) ReeveConnection *c = NULL;

        progress_erase(&f->progress);
        f->cancelled = true; /* as far as it is up to us: who presses Ctrl-C again wants to be gone */
        if (!f->options->quiet)
                fprintf(stderr, "reeve: cancelling %s, once more to stop waiting\n", f->options->task_id);
        if (session_connect(&c) != 0)
                return;
        session_call(c, "Cancel",
                     json_pack("{s:s, s:s}", "task_id", f->options->task_id, "reason",
                               signal == SIGINT ? "interrupted at the command line"
                                                : "the command line was terminated"),
                     NULL);
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
        Follow *f = ASSERT_PTR(userdata);
        int signal = (int)si->ssi_signo;

        if (f->cancelled || f->options->pty || signal == SIGHUP) {
                progress_erase(&f->progress);
                end(f, 128 + signal);
        } else
                cancel(f, signal);
        return 0;
}

static int catch_signals(Follow *f)
{
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
        sigset_t set;

        sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                sigaddset(&set, signals[i]);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                int r = sd_event_add_signal(f->event, NULL, signals[i], on_signal, f);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int start(Follow *f, ReeveError *reterr)
{
        int r = sd_event_new(&f->event);
        if (r >= 0)
                r = catch_signals(f);
        if (r >= 0 && f->options->pty)
                r = pty_attach(f->options->pty, f->event);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "cannot watch the task");

        r = channel_start(&f->wait, f->event, reterr);
        if (r >= 0 && f->options->output)
                r = channel_start(&f->output, f->event, reterr);
        if (r >= 0 && f->options->progress)
                r = channel_start(&f->monitor, f->event, reterr);
        if (r >= 0 && f->options->progress) {
                r = sd_event_add_time_relative(f->event, &f->look_again, CLOCK_MONOTONIC, 0, 0,
                                               on_look_again, f);
                if (r < 0)
                        reeve_error_errno(reterr, r, NULL, "cannot watch the task");
        }
        return r;
}

int follow_task(const FollowOptions *options, json_t **ret_task)
{
        ReeveError error = REEVE_ERROR_NULL;

        assert(options);
        assert(ret_task);

        Follow f = {
                .options = options,
                .wait = { "Wait", false, &wait_handlers, &f },
                .output = { "Output", true, &output_handlers, &f },
                .monitor = { "Monitor", true, &monitor_handlers, &f },
                .attempt = 1,
                .status = EX_SOFTWARE,
        };
        int r = start(&f, &error);
        if (r >= 0) {
                r = sd_event_loop(f.event);
                if (r < 0)
                        reeve_error_errno(&error, r, NULL, "cannot watch the task");
        }
        progress_erase(&f.progress);
        if (options->pty)
                pty_finish(options->pty);
        if (r < 0)
                f.status = session_error(&error);

        channel_done(&f.wait);
        channel_done(&f.output);
        channel_done(&f.monitor);
        channel_done(&f.look);
        sd_event_source_disable_unref(f.look_again);
        sd_event_unref(f.event);
        if (f.status == 0)
                *ret_task = f.task;
        else
                json_decref(f.task);
        return f.status;
}

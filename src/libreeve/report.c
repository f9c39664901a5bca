/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reporting work: begin, how it goes, end.
 *
 * All of it may be said twice: Start has its id chosen before anything is sent, and the registry answers the same
 * request with the same task; Update sets values; an end that is said again is answered with the task. So what was
 * under way when the connection broke is said again on the next one, and a program's task survives that the registry
 * is replaced. What the caller leaves out is not sent, so that the registry's defaults hold. */

#include "reeve/report.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "basic/fd.h"
#include "common/json/json.h"
#include "libreeve/parameters.h"
#include "libreeve/submit.h"

static int fill_start(json_t *p, const ReeveStart *s, const char *id, ReeveError *reterr)
{
        int r = parameters_string(p, "task_id", id, reterr);
        if (r >= 0)
                r = parameters_string(p, "subsystem", s->subsystem, reterr);
        if (r >= 0)
                r = parameters_string(p, "task_type", s->task_type, reterr);
        if (r >= 0)
                r = parameters_string(p, "title", s->title, reterr);
        if (r >= 0)
                r = parameters_string(p, "description", s->description, reterr);
        if (r >= 0)
                r = parameters_string(p, "created_by", s->created_by, reterr);
        if (r >= 0)
                r = parameters_string(p, "sla", s->sla, reterr);
        if (r >= 0)
                r = parameters_object(p, "metadata", s->metadata, reterr);
        if (r >= 0 && s->priority != 0)
                r = parameters_integer(p, "priority", (uint64_t)(unsigned)s->priority, reterr);
        if (r >= 0 && s->pending)
                r = parameters_boolean(p, "pending", true, reterr);
        if (r >= 0 && s->heartbeat_usec != 0)
                r = parameters_integer(p, "heartbeat_usec", s->heartbeat_usec, reterr);
        return r;
}

/* The process to watch goes along as descriptor number 0. */
static int add_watch(json_t *p, pid_t pid, int *ret_fd, ReeveError *reterr)
{
        _cleanup_fd_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (fd < 0 && (errno == ESRCH || errno == EINVAL))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "watch", "no process %d runs",
                                       (int)pid);
        if (fd < 0)
                return reeve_error_errno(reterr, errno, "watch", "cannot watch process %d", (int)pid);

        int r = parameters_integer(p, "watch", 0, reterr);
        if (r >= 0)
                *ret_fd = TAKE_FD(fd);
        return r;
}

int reeve_start(ReeveConnection *c, const ReeveStart *start, char ret_id[REEVE_TASK_ID_SIZE],
                json_t **ret_task, ReeveError *reterr)
{
        _cleanup_json_ json_t *p = json_object(), *reply = NULL;
        _cleanup_fd_ int watched = -EBADF;
        char id[TASK_ID_MAX + 1];

        assert(c);
        assert(start);

        int r = submit_choose_id(start->task_id, start->subsystem ?: "", start->task_type ?: "", id, reterr);
        if (r >= 0)
                r = fill_start(p, start, id, reterr);
        if (r >= 0 && start->watch != 0)
                r = add_watch(p, start->watch, &watched, reterr);
        if (r < 0)
                return r;
        if (ret_id)
                strcpy(ret_id, id);

        ConnectionCall call = { "Start", p, .fds = &watched, .n_fds = watched >= 0 ? 1 : 0 };
        r = connection_call_again(c, &call, &reply, reterr);
        return r < 0 || !ret_task ? r : parameters_take(reply, "task", ret_task, reterr);
}

static int fill_numbers(json_t *p, const char *key, const ReeveNumber *numbers, ReeveError *reterr)
{
        _cleanup_json_ json_t *values = json_object();
        int r = 0;

        if (!numbers)
                return 0;
        for (const ReeveNumber *n = numbers; r >= 0 && n->name; n++)
                r = parameters_real(values, n->name, n->value, reterr);
        return r < 0 ? r : parameters_object(p, key, values, reterr);
}

int reeve_update(ReeveConnection *c, const char *task_id, const ReeveUpdate *update, ReeveError *reterr)
{
        _cleanup_json_ json_t *p = json_object(), *reply = NULL;

        assert(c);
        assert(task_id);
        assert(update);

        int r = parameters_string(p, "task_id", task_id, reterr);
        if (r >= 0)
                r = parameters_string(p, "message", update->message, reterr);
        if (r >= 0 && update->progress)
                r = parameters_real(p, "progress", *update->progress, reterr);
        if (r >= 0)
                r = fill_numbers(p, "resource_usage", update->resource, reterr);
        if (r >= 0)
                r = fill_numbers(p, "ml_metrics", update->metrics, reterr);
        if (r >= 0 && update->step)
                r = parameters_integer(p, "step", *update->step, reterr);
        if (r >= 0)
                r = parameters_object(p, "metadata", update->metadata, reterr);
        return r < 0 ? r : connection_call_again(c, &(ConnectionCall){ "Update", p }, &reply, reterr);
}

/* What both ends have. */
static int fill_end(json_t *p, const char *task_id, const ReeveEnd *end, ReeveError *reterr)
{
        int r = parameters_string(p, "task_id", task_id, reterr);
        if (r >= 0)
                r = parameters_string(p, "message", end->message, reterr);
        if (r >= 0)
                r = fill_numbers(p, "resource_usage", end->resource, reterr);
        if (r >= 0)
                r = fill_numbers(p, "ml_metrics", end->metrics, reterr);
        return r < 0 ? r : parameters_object(p, "result_metadata", end->result, reterr);
}

static int call_end(ReeveConnection *c, const char *method, json_t *p, json_t **ret_task, ReeveError *reterr)
{
        _cleanup_json_ json_t *reply = NULL;

        int r = connection_call_again(c, &(ConnectionCall){ method, p }, &reply, reterr);
        return r < 0 || !ret_task ? r : parameters_take(reply, "task", ret_task, reterr);
}

int reeve_complete(ReeveConnection *c, const char *task_id, const ReeveEnd *end, json_t **ret_task,
                   ReeveError *reterr)
{
        static const ReeveEnd nothing;
        _cleanup_json_ json_t *p = json_object();

        assert(c);
        assert(task_id);

        if (!end)
                end = &nothing;
        int r = fill_end(p, task_id, end, reterr);
        if (r >= 0 && end->verified != REEVE_VERIFIED_UNSAID)
                r = parameters_boolean(p, "verification_passed", end->verified == REEVE_VERIFIED_PASSED,
                                       reterr);
        return r < 0 ? r : call_end(c, "Complete", p, ret_task, reterr);
}

int reeve_fail(ReeveConnection *c, const char *task_id, const ReeveEnd *end, json_t **ret_task,
               ReeveError *reterr)
{
        _cleanup_json_ json_t *p = json_object();

        assert(c);
        assert(task_id);
        assert(end);

        int r = fill_end(p, task_id, end, reterr);
        return r < 0 ? r : call_end(c, "Fail", p, ret_task, reterr);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The memfd is made and sealed by the author's own process, which is what lets the launcher believe who wrote it. The
 * id is chosen before anything is sent and the bytes never change after, so the request may be made twice: a registry
 * that was replaced between accepting it and answering finds the task by its id and answers with it. */

#include "libreeve/submit.h"

#include <errno.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/clock.h"
#include "common/json/json.h"
#include "libreeve/command.h"
#include "libreeve/parameters.h"

#define DEFAULT_SUBSYSTEM "user"
#define TITLE_MAX         1024

_Static_assert(REEVE_TASK_ID_SIZE == TASK_ID_MAX + 1, "the public header has the size of an id");

static void submission_done(Submission *w)
{
        json_decref(w->parameters);
        fd_close(w->fds[0]);
}

static int check_name(const char *field, const char *name, ReeveError *reterr)
{
        return task_name_is_valid(name) ? 0
                                        : reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, field,
                                                          "'%.100s' is not 1 to %d letters, digits, '_' and "
                                                          "'-' that begin with a letter or digit",
                                                          name, TASK_NAME_MAX);
}

int submit_choose_id(const char *task_id, const char *subsystem, const char *task_type,
                     char ret[static TASK_ID_MAX + 1], ReeveError *reterr)
{
        int r = check_name("subsystem", subsystem, reterr);
        if (r >= 0)
                r = check_name("task_type", task_type, reterr);
        if (r < 0)
                return r;

        if (!task_id) {
                r = task_id_make(subsystem, task_type, clock_realtime(clock_system()), ret);
                return r < 0 ? reeve_error_errno(reterr, r, "task_id", "cannot make an id") : 0;
        }
        if (!task_id_is_valid(task_id))
                return reeve_error_set(
                                reterr, REEVE_ERROR_INVALID_ARGUMENT, "task_id",
                                "'%.140s' is not 1 to %d letters, digits, '_' and '-' that begin with "
                                "a letter or digit",
                                task_id, TASK_ID_MAX);
        strcpy(ret, task_id);
        return 0;
}

/* When it may start, and whether at all. */
static int add_queue(json_t *p, const ReeveRun *run)
{
        int r = 0;

        if (run->attempts != 0)
                r |= json_set_integer(p, "attempts", run->attempts);
        if (run->join)
                r |= json_set_string(p, "unique_mode", "join");
        if (run->hold)
                r |= json_set_bool(p, "hold", true);
        if (run->after)
                r |= json_object_set_new(p, "after", json_array());
        for (const char *const *id = run->after; id && *id; id++)
                r |= json_array_append_new(json_object_get(p, "after"), json_string(*id));
        return r < 0 ? -ENOMEM : 0;
}

/* The parameters, with the title that is the command's name unless another is given. */
static int fill_parameters(Submission *w, const ReeveRun *run, const char *subsystem, const char *task_type,
                           ReeveError *reterr)
{
        _cleanup_free_ char *title =
                        run->title ? strdup(run->title) : command_title(run->argv[0], TITLE_MAX);
        _cleanup_json_ json_t *p = json_pack("{s:i, s:s, s:s}", "spec", 0, "subsystem", subsystem,
                                             "task_type", task_type);

        int r = title ? parameters_string(p, "title", title, reterr)
                      : reeve_error_errno(reterr, ENOMEM, NULL, "cannot write the request");
        if (r >= 0)
                r = parameters_string(p, "description", run->description, reterr);
        if (r >= 0)
                r = parameters_string(p, "created_by", run->created_by, reterr);
        if (r >= 0)
                r = parameters_string(p, "backend", w->backend, reterr);
        if (r >= 0)
                r = parameters_string(p, "sla", run->sla, reterr);
        if (r >= 0)
                r = parameters_string(p, "unique", run->unique, reterr);
        if (r >= 0)
                r = parameters_object(p, "metadata", run->metadata, reterr);
        if (r >= 0 && run->priority != 0 && json_set_integer(p, "priority", run->priority) < 0)
                r = reeve_error_errno(reterr, ENOMEM, NULL, "cannot write the request");
        if (r < 0)
                return r;
        if (add_queue(p, run) < 0)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot write the request");
        if (w->n_fds > 1 && json_object_set_new(p, "stdio", json_array()) < 0)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot write the request");
        for (size_t i = 1; i < w->n_fds; i++)
                if (json_array_append_new(json_object_get(p, "stdio"), json_integer((json_int_t)i)) < 0)
                        return reeve_error_errno(reterr, ENOMEM, NULL, "cannot write the request");
        w->parameters = TAKE_PTR(p);
        return 0;
}

static int write_spec(const ReeveRun *run, Submission *w, const Submitter *how, ReeveError *reterr)
{
        _cleanup_(request_done) Request q = { 0 };
        _cleanup_free_ char *text = NULL;
        size_t size;

        int r = how->fill(&q, run, w, how->userdata, reterr);
        if (r >= 0)
                r = spec_format(&q.spec, &text, &size, reterr);
        return r < 0 ? r : spec_seal(text, size, w->fds, reterr);
}

static int send_submission(ReeveConnection *c, const char *method, const Submission *w, json_t **ret,
                           ReeveError *reterr)
{
        ConnectionCall call = { method, w->parameters, .fds = w->fds, .n_fds = w->n_fds };

        return connection_call_again(c, &call, ret, reterr);
}

int submit(ReeveConnection *c, const Submitter *how, const ReeveRun *run, char *ret_id, json_t **ret_task,
           ReeveError *reterr)
{
        _cleanup_(submission_done) Submission w = { .fds = { -EBADF }, .n_fds = 1 };
        _cleanup_json_ json_t *reply = NULL;
        char type[TASK_NAME_MAX + 1];

        assert(c);
        assert(how && how->method && how->fill);
        assert(run);

        if (!run->task_type)
                command_task_type(run->argv && run->argv[0] ? run->argv[0] : "", type);
        const char *task_type = run->task_type ?: type, *subsystem = run->subsystem ?: DEFAULT_SUBSYSTEM;

        int r = submit_choose_id(run->task_id, subsystem, task_type, w.task_id, reterr);
        if (r >= 0)
                r = write_spec(run, &w, how, reterr);
        if (r >= 0)
                r = fill_parameters(&w, run, subsystem, task_type, reterr);
        if (r < 0)
                return r;
        if (ret_id)
                strcpy(ret_id, w.task_id);

        r = send_submission(c, how->method, &w, &reply, reterr);
        if (r < 0)
                return r;
        const char *id = json_get_string(json_object_get(reply, "task"), "task_id");
        if (run->join && ret_id && id && strlen(id) <= TASK_ID_MAX)
                strcpy(ret_id, id);
        if (ret_task)
                *ret_task = json_incref(json_object_get(reply, "task"));
        return 0;
}

int submit_join(ReeveConnection *c, const Submitter *how, const ReeveRun *run, json_t **ret_task,
                ReeveError *reterr)
{
        _cleanup_(submission_done) Submission w = { .fds = { -EBADF }, .n_fds = 1 };
        _cleanup_json_ json_t *reply = NULL;

        assert(c);
        assert(how && how->method && how->fill);
        assert(run);

        if (!run->task_id || !task_id_is_valid(run->task_id))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "task_id",
                                       "not the id of a task");
        strcpy(w.task_id, run->task_id);
        w.parameters = json_pack("{s:i}", "spec", 0);
        if (!w.parameters)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot write the request");
        int r = write_spec(run, &w, how, reterr);
        if (r >= 0)
                r = send_submission(c, how->method, &w, &reply, reterr);
        if (r >= 0 && ret_task)
                *ret_task = json_incref(json_object_get(reply, "task"));
        return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From what the caller wants to a running task: write the specification, seal it, send it, wait for exec.
 *
 * The memfd is made and sealed by the author's own process, which is what lets the launcher believe who wrote it. The
 * id is chosen before anything is sent and the bytes never change after, so the request may be made twice: a registry
 * that was replaced between accepting it and answering finds the task by its id and answers with it.
 *
 * Descriptors travel in the order of the specification: the memfd is number 0, then those that its stdio entries name
 * as "fd". */

#include "libreeve/connection.h"

#include <errno.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/clock.h"
#include "common/json/json.h"
#include "common/task-id.h"
#include "common/unit-property/unit-property.h"
#include "libreeve/command.h"
#include "libreeve/property.h"
#include "libreeve/user.h"

#define DEFAULT_SUBSYSTEM "user"
#define DEFAULT_UMASK     0022
#define TITLE_MAX         1024
#define RUN_PATIENCE_USEC (10 * USEC_PER_SEC)

_Static_assert(REEVE_TASK_ID_SIZE == TASK_ID_MAX + 1, "the public header has the size of an id");

/* What goes over the wire. */
typedef struct Wire {
        json_t *parameters;
        int fds[1 + SPEC_STDIO_COUNT]; /* the first is ours to close */
        size_t n_fds;
        char task_id[TASK_ID_MAX + 1];
        const char *backend; /* NULL: the registry's choice */
} Wire;

static void wire_done(Wire *w)
{
        json_decref(w->parameters);
        fd_close(w->fds[0]);
}

static int set_command(Request *q, char *const *argv, ReeveError *reterr)
{
        if (!argv || !argv[0])
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "argv",
                                       "there is no command to run");
        int r = command_resolve(argv[0], &q->command, reterr);
        if (r < 0)
                return r;

        size_t n = strv_length(argv);
        q->argv = NEW(char *, n + 1);
        if (!q->argv)
                return reeve_error_errno(reterr, ENOMEM, "argv", "cannot copy the command line");
        memcpy(q->argv, argv, (n + 1) * sizeof(char *));
        q->argv[0] = q->command;
        q->spec.argv = q->argv;
        q->spec.n_argv = n;
        return 0;
}

static int set_variables(Request *q, const char *const *environment, ReeveError *reterr)
{
        for (const char *const *p = environment; p && *p; p++) {
                const char *value = NULL;

                if (!strchr(*p, '=')) {
                        value = getenv(*p);
                        if (!value)
                                continue;
                }
                _cleanup_free_ char *assignment = value ? string_printf("%s=%s", *p, value) : strdup(*p);
                if (!assignment)
                        return reeve_error_errno(reterr, ENOMEM, "environment", "cannot set a variable");
                int r = request_set_environment(q, assignment, reterr);
                if (r < 0)
                        return r;
        }
        q->spec.env = q->env;
        q->spec.n_env = strv_length(q->env);
        return 0;
}

/* Each is "/bin/sh -c COMMAND", in the form of the specification. */
static int set_verify(Request *q, const char *const *commands, ReeveError *reterr)
{
        for (const char *const *p = commands; p && *p; p++) {
                if (!**p || strchr(*p, '\x1f'))
                        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "verify",
                                               "it is not a command for a shell");
                _cleanup_free_ char *text = string_printf("/bin/sh\x1f"
                                                          "-c\x1f"
                                                          "%s",
                                                          *p);
                if (!text || strv_append(&q->verify, text) < 0)
                        return reeve_error_errno(reterr, ENOMEM, "verify", "cannot add a command");
        }
        q->spec.verify = (const char **)q->verify;
        q->spec.n_verify = strv_length(q->verify);
        return 0;
}

static int set_directory(Request *q, const char *cwd, ReeveError *reterr)
{
        if (!cwd && q->cwd) /* by a property */
                return 0;
        free(TAKE_PTR(q->cwd));
        int r = command_make_absolute(cwd && *cwd ? cwd : ".", &q->cwd, reterr);
        q->spec.cwd = q->cwd;
        return r;
}

/* Fills the specification's entries, and adds the descriptors to the wire. */
static int set_stdio(Request *q, const ReeveRun *run, Wire *w, ReeveError *reterr)
{
        static const SpecStdioKind kinds[] = {
                [REEVE_STDIO_NULL] = SPEC_STDIO_NULL,
                [REEVE_STDIO_OUTPUT] = SPEC_STDIO_OUTPUT,
                [REEVE_STDIO_JOURNAL] = SPEC_STDIO_JOURNAL,
        };

        for (size_t i = 0; i < SPEC_STDIO_COUNT; i++) {
                int kind = run->stdio[i];

                if (kind == REEVE_STDIO_DEFAULT)
                        kind = i == 0 ? REEVE_STDIO_NULL : REEVE_STDIO_OUTPUT;
                if (kind < 0 || (i == 0 && (kind == REEVE_STDIO_OUTPUT || kind == REEVE_STDIO_JOURNAL)))
                        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "stdio",
                                               "descriptor %zu cannot be kind %d", i, kind);
                if (kind < REEVE_STDIO_FD(0)) {
                        q->spec.stdio[i].kind = kinds[kind];
                        continue;
                }
                int fd = kind - REEVE_STDIO_FD(0);
                int r = spec_stdio_from_fd(q->spec.stdio + i, fd);
                if (r < 0)
                        return reeve_error_errno(reterr, r, "stdio", "descriptor %d", fd);
                w->fds[w->n_fds++] = fd;
        }
        return 0;
}

static int apply_properties(Request *q, const char *const *properties, ReeveError *reterr)
{
        int r = 0;

        for (const char *const *p = properties; r >= 0 && p && *p; p++)
                r = property_apply(q, *p, reterr);
        return r;
}

static int set_slice(Request *q, const char *slice, ReeveError *reterr)
{
        if (slice && geteuid() != 0)
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, "slice",
                                       "only root may choose where a scope is placed");
        if (slice && !unit_property_slice_is_valid(slice))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "slice",
                                       "'%.100s' is not the name of a slice (NAME.slice)", slice);
        q->spec.slice = slice;
        return 0;
}

/* What only a unit has makes the task one, unless the caller wants it otherwise: that cannot be. */
static int choose_backend(const Spec *s, const char *wanted, const char **ret, ReeveError *reterr)
{
        const char *cause = s->n_properties > 0 ? s->properties[0].name : "slice";

        if (spec_wants_scope(s) && wanted && *wanted && !streq(wanted, "scope"))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, cause,
                                       "only systemd has it, with backend scope, not %.32s", wanted);
        *ret = spec_wants_scope(s) ? "scope" : wanted;
        return 0;
}

static int fill_request(Request *q, const ReeveRun *run, Wire *w, ReeveError *reterr)
{
        q->spec.task_id = w->task_id;
        q->spec.attempts = run->attempts ?: 1;
        q->spec.umask = DEFAULT_UMASK;
        q->spec.grace_usec = USEC_INFINITY;
        q->spec.tty = run->tty;

        int r = set_command(q, run->argv, reterr);
        if (r >= 0)
                r = user_apply(q, run->user, run->group, run->tty, reterr);
        if (r >= 0)
                r = apply_properties(q, run->properties, reterr);
        if (r >= 0)
                r = set_slice(q, run->slice, reterr);
        if (r >= 0)
                r = choose_backend(&q->spec, run->backend, &w->backend, reterr);
        if (r >= 0)
                r = set_variables(q, run->environment, reterr);
        if (r >= 0)
                r = set_verify(q, run->verify, reterr);
        if (r >= 0)
                r = set_directory(q, run->cwd, reterr);
        return r < 0 ? r : set_stdio(q, run, w, reterr);
}

static int check_name(const char *field, const char *name, ReeveError *reterr)
{
        return task_name_is_valid(name) ? 0
                                        : reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, field,
                                                          "'%.100s' is not 1 to %d letters, digits, '_' and "
                                                          "'-' that begin with a letter or digit",
                                                          name, TASK_NAME_MAX);
}

/* Checks the names, and chooses the id if the caller did not. */
static int choose_id(const ReeveRun *run, const char *subsystem, const char *task_type, char *ret,
                     ReeveError *reterr)
{
        int r = check_name("subsystem", subsystem, reterr);
        if (r >= 0)
                r = check_name("task_type", task_type, reterr);
        if (r < 0)
                return r;

        if (!run->task_id) {
                r = task_id_make(subsystem, task_type, clock_realtime(clock_system()), ret);
                return r < 0 ? reeve_error_errno(reterr, r, "task_id", "cannot make an id") : 0;
        }
        if (!task_id_is_valid(run->task_id))
                return reeve_error_set(
                                reterr, REEVE_ERROR_INVALID_ARGUMENT, "task_id",
                                "'%.140s' is not 1 to %d letters, digits, '_' and '-' that begin with "
                                "a letter or digit",
                                run->task_id, TASK_ID_MAX);
        strcpy(ret, run->task_id);
        return 0;
}

/* The parameters, with the title that is the command's name unless another is given. */
static int fill_parameters(Wire *w, const ReeveRun *run, const char *subsystem, const char *task_type,
                           ReeveError *reterr)
{
        _cleanup_free_ char *title =
                        run->title ? strdup(run->title) : command_title(run->argv[0], TITLE_MAX);
        _cleanup_json_ json_t *p = json_pack("{s:i, s:s, s:s, s:[]}", "spec", 0, "subsystem", subsystem,
                                             "task_type", task_type, "stdio");
        const struct {
                const char *name, *value;
        } texts[] = {
                { "title", title },
                { "description", run->description },
                { "created_by", run->created_by },
                { "backend", w->backend },
                { "sla", run->sla },
        };

        if (!title || !p)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot write the request");
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                if (texts[i].value && !utf8_is_valid(texts[i].value, strlen(texts[i].value)))
                        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, texts[i].name,
                                               "the text is not valid UTF-8");
                if (json_set_string(p, texts[i].name, texts[i].value) < 0)
                        return reeve_error_errno(reterr, ENOMEM, NULL, "cannot write the request");
        }
        if (run->priority != 0 && json_set_integer(p, "priority", run->priority) < 0)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot write the request");
        if (run->metadata && json_object_set(p, "metadata", run->metadata) < 0)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot write the request");
        for (size_t i = 1; i < w->n_fds; i++)
                if (json_array_append_new(json_object_get(p, "stdio"), json_integer((json_int_t)i)) < 0)
                        return reeve_error_errno(reterr, ENOMEM, NULL, "cannot write the request");
        w->parameters = TAKE_PTR(p);
        return 0;
}

static int write_spec(const ReeveRun *run, Wire *w, ReeveError *reterr)
{
        _cleanup_(request_done) Request q = { 0 };
        _cleanup_free_ char *text = NULL;
        size_t size;

        int r = fill_request(&q, run, w, reterr);
        if (r >= 0)
                r = spec_format(&q.spec, &text, &size, reterr);
        return r < 0 ? r : spec_seal(text, size, w->fds, reterr);
}

static int send_once(ReeveConnection *c, const Wire *w, json_t **ret, ReeveError *reterr)
{
        VarlinkClient *client;

        int r = connection_client(c, &client, reterr);
        if (r < 0)
                return r;
        r = varlink_client_send(client, "io.reeve.Registry.Run", w->parameters, 0, w->fds, w->n_fds, reterr);
        if (r < 0)
                return connection_broken(r, reterr);
        return reeve_next(c, USEC_INFINITY, ret, NULL, reterr);
}

int reeve_run(ReeveConnection *c, const ReeveRun *run, char ret_id[REEVE_TASK_ID_SIZE], json_t **ret_task,
              ReeveError *reterr)
{
        _cleanup_(wire_done) Wire w = { .fds = { -EBADF }, .n_fds = 1 };
        _cleanup_json_ json_t *reply = NULL;
        char type[TASK_NAME_MAX + 1];

        assert(c);
        assert(run);

        if (!run->task_type)
                command_task_type(run->argv && run->argv[0] ? run->argv[0] : "", type);
        const char *task_type = run->task_type ?: type, *subsystem = run->subsystem ?: DEFAULT_SUBSYSTEM;

        int r = choose_id(run, subsystem, task_type, w.task_id, reterr);
        if (r >= 0)
                r = write_spec(run, &w, reterr);
        if (r >= 0)
                r = fill_parameters(&w, run, subsystem, task_type, reterr);
        if (r < 0)
                return r;
        if (ret_id)
                strcpy(ret_id, w.task_id);

        r = send_once(c, &w, &reply, reterr);
        if (r == -ECONNRESET && reeve_reconnect(c, RUN_PATIENCE_USEC, reterr) >= 0)
                r = send_once(c, &w, &reply, reterr);
        if (r < 0)
                return r;
        if (ret_task)
                *ret_task = json_incref(json_object_get(reply, "task"));
        return 0;
}

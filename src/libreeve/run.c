/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the caller wants to be executed, as a specification: the command as an absolute path, its user, environment and
 * directory, limits and properties by their systemd names, and the descriptors that go with it, in the order in which its
 * stdio entries name them. How it gets to the registry is submit.c's. */

#include "libreeve/submit.h"

#include <errno.h>
#include <unistd.h>

#include "basic/strings.h"
#include "common/unit-property/unit-property.h"
#include "libreeve/command.h"
#include "libreeve/property.h"
#include "libreeve/user.h"

#define DEFAULT_UMASK 0022

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
static int set_stdio(Request *q, const ReeveRun *run, Submission *w, ReeveError *reterr)
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

static bool passes_descriptors(const ReeveRun *run)
{
        for (size_t i = 0; i < SPEC_STDIO_COUNT; i++)
                if (run->stdio[i] >= REEVE_STDIO_FD(0))
                        return true;
        return false;
}

static int fill_request(Request *q, const ReeveRun *run, Submission *w, const void *userdata _unused_,
                        ReeveError *reterr)
{
        q->spec.task_id = w->task_id;
        q->spec.attempts = run->attempts ?: (passes_descriptors(run) ? 1 : REEVE_ATTEMPTS_DEFAULT);
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

int reeve_run(ReeveConnection *c, const ReeveRun *run, char ret_id[REEVE_TASK_ID_SIZE], json_t **ret_task,
              ReeveError *reterr)
{
        assert(c);
        assert(run);

        return submit(c, &(Submitter){ "Run", fill_request }, run, ret_id, ret_task, reterr);
}

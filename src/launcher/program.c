/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Checks and hooks: what runs although the author of no specification wrote it down. Of all that reeved may ask for this
 * is the only thing that begins with its own words, so it is worth little:
 *
 *     check   a program of root's (program-file.c), or a command of the author's own, in the rights of a task that the
 *             launcher has started: its ticket was spent, or its record says so
 *     hook    a program of root's, in the rights of user reeve-hook
 *
 * The record has a name that no task can have, so neither is ever mistaken for the other. A program spends nothing:
 * how often it runs, reeved decides. The ticket may have expired meanwhile: a task may run for longer than it lasts. */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/strings.h"
#include "launcher/launch.h"
#include "launcher/program-file.h"
#include "launcher/spent.h"

#define SEPARATOR '\x1f' /* within verify=, see common/spec */

static char *const environment[] = {
        (char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", (char *)"LANG=C.UTF-8",
        NULL
};

static int check_name(const Launch *x, const char *word, ReeveError *reterr)
{
        if (!task_id_is_valid(x->request.name) || !task_id_ends_in(x->request.name, word))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "name",
                                       "not a name that ends in -%s and a number", word);
        if (x->request.attempt < 1 || x->request.attempt > TASK_ATTEMPT_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "attempt", "not in 1 to %d",
                                       TASK_ATTEMPT_MAX);
        return 0;
}

/* The record stays until reeved has stored the end, the list of spent tickets for some days. */
static bool has_started(const Launch *x)
{
        _cleanup_(record_unmapp) const Record *r = NULL;
        char name[TASK_ATTEMPT_NAME_SIZE];

        if (spent_has(x->l->spent_fd, x->ticket.serial, x->request.attempt) > 0)
                return true;
        task_attempt_name(x->spec.task_id, x->request.attempt, name);
        return record_map(x->l->records_fd, name, &r) >= 0 && record_phase(r) >= RECORD_STARTED &&
               memcmp(r->serial, x->ticket.serial, sizeof(r->serial)) == 0;
}

static int open_program(Launch *x, InstancePath which, ReeveError *reterr)
{
        static ProgramFile file; /* its path is argv[0] until exec */

        int r = program_file_open(&x->l->instance, which, x->request.argv[0], &file, reterr);
        if (r < 0)
                return r;
        x->child.program_fd = file.fd;
        x->child.is_script = file.is_script;
        x->request.argv[0] = file.path;
        x->child.argv = x->request.argv;
        return 0;
}

/* The command is the author's, in the text that his ticket is for; it is cut where it stands. */
static int take_authored(Launch *x, ReeveError *reterr)
{
        size_t n = 0;

        if (x->request.authored > x->spec.n_verify)
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, "argv",
                                       "the author wrote down %zu commands", x->spec.n_verify);
        char *rest = (char *)x->spec.verify[x->request.authored - 1];
        for (char separator[] = { SEPARATOR, '\0' }; rest && n < REQUEST_ARGS_MAX;)
                x->request.argv[n++] = strsep(&rest, separator);
        if (rest)
                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, "argv", "more than %d arguments",
                                       REQUEST_ARGS_MAX);
        x->child.argv = x->request.argv;
        return 0;
}

static int connect_stdio(Launch *x, ReeveError *reterr)
{
        struct stat st;

        x->child.stdio[0] = x->l->null_fd;
        if (x->request.n_fds > 0) {
                if (fstat(x->request.fds[0], &st) < 0 || !S_ISREG(st.st_mode))
                        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "stdio",
                                               "standard input is not a regular file");
                x->child.stdio[0] = x->request.fds[0];
        }
        x->spec.tty = false;
        x->spec.stdio[0].kind = SPEC_STDIO_NULL; /* taken care of */
        x->spec.stdio[1].kind = x->spec.stdio[2].kind = SPEC_STDIO_OUTPUT;
        x->id = x->request.name;
        memset(x->ticket.serial, 0, sizeof(x->ticket.serial));
        return 0;
}

static int prepare_check(Launch *x, sd_bus_message *m, ReeveError *reterr)
{
        int r = request_read(&x->request, m, REQUEST_CHECK, reterr);

        if (r >= 0)
                r = check_name(x, "check", reterr);
        if (r >= 0)
                r = launch_check_ticket(x, 0, reterr);
        /* It is no unit: it lives in the pool, with the task's limits and without its unit properties. */
        x->spec.n_properties = 0;
        x->spec.slice = NULL;
        if (r >= 0)
                r = launch_check_rules(x, reterr);
        if (r < 0)
                return r;
        if (!has_started(x))
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, "ticket",
                                       "nothing is checked before the task was started");
        bool authored = x->request.authored > 0;
        r = authored ? take_authored(x, reterr) : open_program(x, INSTANCE_CHECKS, reterr);
        if (r >= 0)
                r = launch_make_environment(x, x->spec.task_id, authored ? x->spec.env : environment,
                                            reterr);
        return r < 0 ? r : connect_stdio(x, reterr);
}

static int prepare_hook(Launch *x, sd_bus_message *m, ReeveError *reterr)
{
        int r = request_read(&x->request, m, REQUEST_HOOK, reterr);

        if (r >= 0)
                r = check_name(x, "step", reterr);
        if (r < 0)
                return r;
        if (x->l->hook_uid == (uid_t)-1 || x->l->hook_uid == 0)
                return reeve_error_set(reterr, REEVE_ERROR_UNAVAILABLE, "uid",
                                       "there is no user reeve-hook");
        x->spec = (Spec){ .task_id = x->request.name,
                          .uid = x->l->hook_uid,
                          .gid = x->l->hook_gid,
                          .cwd = "/",
                          .umask = 022,
                          .grace_usec = USEC_INFINITY };
        x->ticket.uid = x->l->hook_uid;
        r = launch_check_rules(x, reterr);
        if (r >= 0)
                r = open_program(x, INSTANCE_HOOKS, reterr);
        if (r >= 0)
                r = launch_make_environment(x, NULL, environment, reterr);
        return r < 0 ? r : connect_stdio(x, reterr);
}

int method_check(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        return launch_carry_out(ASSERT_PTR(userdata), m, prepare_check);
}

int method_hook(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        return launch_carry_out(ASSERT_PTR(userdata), m, prepare_hook);
}

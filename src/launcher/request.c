/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What reeved may add to a specification is this list and nothing else; an unknown name is refused, not skipped,
 * because what it meant may have been a restriction. An environment entry must begin with REEVE_, so that nothing
 * that a loader, a shell or a library obeys (LD_PRELOAD, PATH, ...) can come from reeved. */

#include "launcher/request.h"

#include <errno.h>
#include <string.h>

#include "basic/strings.h"
#include "common/limit/limit.h"

#define ADDED_ENV_PREFIX "REEVE_"

static int refuse(ReeveError *reterr, const char *field, const char *text)
{
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, field, "%s", text);
}

static int read_limits(Request *q, sd_bus_message *m, ReeveError *reterr)
{
        SpecLimit limit;
        int r = sd_bus_message_enter_container(m, 'a', "(ss)");

        while (r >= 0 && (r = sd_bus_message_read(m, "(ss)", &limit.name, &limit.value)) > 0) {
                if (q->n_limits == SPEC_LIMITS_MAX)
                        return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, "limits", "more than %d",
                                               SPEC_LIMITS_MAX);
                q->limits[q->n_limits++] = limit;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_environment(Request *q, sd_bus_message *m, ReeveError *reterr)
{
        const char *entry;
        int r = sd_bus_message_enter_container(m, 'a', "s");

        while (r >= 0 && (r = sd_bus_message_read(m, "s", &entry)) > 0) {
                const char *rest = string_after(entry, ADDED_ENV_PREFIX);

                if (!rest || rest[0] == '=' || !strchr(rest, '='))
                        return refuse(reterr, "environment", "only REEVE_...=... may be added");
                if (q->n_env == REQUEST_ENV_MAX)
                        return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, "environment",
                                               "more than %d entries are added", REQUEST_ENV_MAX);
                q->env[q->n_env++] = entry;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_added_entry(Request *q, sd_bus_message *m, const char *name, ReeveError *reterr)
{
        if (streq(name, "backend"))
                return sd_bus_message_read(m, "v", "s", &q->backend);
        if (streq(name, "subsystem"))
                return sd_bus_message_read(m, "v", "s", &q->subsystem);
        if (streq(name, "deadline"))
                return sd_bus_message_read(m, "v", "t", &q->deadline_boottime_usec);
        if (streq(name, "grace"))
                return sd_bus_message_read(m, "v", "t", &q->grace_usec);
        if (streq(name, "priority"))
                return sd_bus_message_read(m, "v", "u", &q->priority);
        if (streq(name, "output_cap"))
                return sd_bus_message_read(m, "v", "t", &q->output_cap_bytes);
        bool limits = streq(name, "limits");
        if (!limits && !streq(name, "environment"))
                return refuse(reterr, "added", "there is an entry that reeved may not add");

        int r = sd_bus_message_enter_container(m, 'v', limits ? "a(ss)" : "as");
        if (r >= 0)
                r = limits ? read_limits(q, m, reterr) : read_environment(q, m, reterr);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_added(Request *q, sd_bus_message *m, ReeveError *reterr)
{
        const char *name;
        int r = sd_bus_message_enter_container(m, 'a', "{sv}");

        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &name);
                if (r >= 0)
                        r = read_added_entry(q, m, name, reterr);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_fds(Request *q, sd_bus_message *m, ReeveError *reterr)
{
        int fd, r = sd_bus_message_enter_container(m, 'a', "h");

        while (r >= 0 && (r = sd_bus_message_read(m, "h", &fd)) > 0) {
                if (q->n_fds == SPEC_STDIO_COUNT)
                        return refuse(reterr, "stdio", "more than three descriptors");
                q->fds[q->n_fds++] = fd;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_argv(Request *q, sd_bus_message *m, ReeveError *reterr)
{
        const char *argument;
        size_t bytes = 0;
        int r = sd_bus_message_enter_container(m, 'a', "s");

        while (r >= 0 && (r = sd_bus_message_read(m, "s", &argument)) > 0) {
                bytes += strlen(argument);
                if (q->n_argv == REQUEST_ARGS_MAX || bytes > REQUEST_ARGS_BYTES_MAX)
                        return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, "argv",
                                               "more than %d arguments or %d bytes", REQUEST_ARGS_MAX,
                                               REQUEST_ARGS_BYTES_MAX);
                q->argv[q->n_argv++] = (char *)argument;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_ticket(Request *q, sd_bus_message *m, ReeveError *reterr)
{
        const void *ticket;
        size_t size;

        int r = sd_bus_message_read(m, "h", &q->spec_fd);
        if (r >= 0)
                r = sd_bus_message_read_array(m, 'y', &ticket, &size);
        if (r >= 0 && size != LAUNCHER_TICKET_SIZE)
                return refuse(reterr, "ticket", "it has not the size of a ticket");
        q->ticket = ticket;
        return r;
}

static int read_program(Request *q, sd_bus_message *m, RequestKind kind, ReeveError *reterr)
{
        int r = sd_bus_message_read(m, "s", &q->name);

        if (r >= 0 && kind == REQUEST_CHECK)
                r = sd_bus_message_read(m, "u", &q->authored);
        if (r >= 0)
                r = read_argv(q, m, reterr);
        if (r >= 0 && q->n_fds > 1)
                return refuse(reterr, "stdio", "a program has one descriptor at most");
        if (r >= 0 && (q->n_argv == 0) != (q->authored > 0))
                return refuse(reterr, "argv", "either a program or one of the author's own commands");
        return r;
}

int request_read(Request *q, sd_bus_message *m, RequestKind kind, ReeveError *reterr)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(q);
        assert(m);

        *q = (Request){ .backend = "",
                        .subsystem = "",
                        .deadline_boottime_usec = UINT64_MAX,
                        .grace_usec = UINT64_MAX,
                        .priority = LIMIT_PRIORITY_NORMAL };
        int r = kind == REQUEST_HOOK ? 0 : read_ticket(q, m, &e);
        if (r >= 0)
                r = sd_bus_message_read(m, "u", &q->attempt);
        if (r >= 0)
                r = read_added(q, m, &e);
        if (r >= 0)
                r = read_fds(q, m, &e);
        if (r >= 0 && kind != REQUEST_TASK)
                r = read_program(q, m, kind, &e);
        if (r >= 0)
                return 0;
        if (e.code == REEVE_ERROR_NONE)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "arguments",
                                       "they are not those of this method");
        *reterr = e;
        return r;
}

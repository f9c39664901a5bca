/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* RunTask and AttachTask: the specification is the first descriptor, the options are those of varlink's Run or Attach, with two differences: "stdio"
 * is an array of descriptors, and "metadata" the text of a JSON object, for a dictionary of variants could not say what JSON
 * says. Descriptors of a message belong to the message: what is given to the service are duplicates. */

#include <errno.h>
#include <string.h>

#include "basic/fd.h"
#include "common/json/json.h"
#include "daemon/bus/registry-bus-internal.h"
#include "daemon/service/parameters.h"

static int take_fd(void *userdata, size_t index)
{
        BusFds *f = ASSERT_PTR(userdata);

        if (index >= f->n || f->fds[index] < 0)
                return -ENOENT;
        return TAKE_FD(f->fds[index]);
}

static void on_run(const ReeveError *error, const TaskRow *task, void *userdata)
{
        BusCall *c = ASSERT_PTR(userdata);
        sd_bus_message *reply = NULL;

        if (error) {
                bus_call_fail(c, error);
                return;
        }
        _cleanup_free_ char *path = bus_task_path(task->task_id);
        int r = path ? sd_bus_message_new_method_return(c->message, &reply) : -ENOMEM;
        if (r >= 0)
                r = sd_bus_message_append(reply, "so", task->task_id, path);
        bus_call_reply(c, reply, r);
}

/* Parsed here, when the sender is known: what the descriptors are is the service's to say. */
static int read_request(BusCall *c, BusFds *fds, json_t **ret, ReeveError *e)
{
        int spec;

        if (sd_bus_message_read(c->message, "h", &spec) <= 0)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "spec", "no descriptor came");
        fds->fds[0] = fcntl(spec, F_DUPFD_CLOEXEC, 3);
        if (fds->fds[0] < 0)
                return reeve_error_errno(e, errno, "spec", "cannot take the descriptor");
        fds->n = 1;
        int r = bus_read_dict(c->message, fds, ret, e);
        if (r < 0)
                return r;
        if (json_object_get(*ret, "spec"))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "spec", "is an argument, no option");
        if (json_object_set_new_nocheck(*ret, "spec", json_integer(0)) < 0)
                return reeve_error_errno(e, ENOMEM, NULL, "cannot take another request");
        return bus_parse_object(*ret, "metadata", e);
}

static void submit(BusCall *c, bool attach)
{
        _cleanup_(bus_fds_done) BusFds fds = { 0 };
        _cleanup_free_ char *metadata = NULL;
        ReeveError e = REEVE_ERROR_NULL;
        RunRequest q;

        int r = read_request(c, &fds, &c->parameters, &e);
        if (r >= 0)
                r = attach ? attach_parameters_parse(c->parameters, take_fd, &fds, &q, &metadata, &e)
                           : run_parameters_parse(c->parameters, take_fd, &fds, &q, &metadata, &e);
        if (r < 0) {
                bus_call_fail(c, &e);
                return;
        }
        c->in_service = true;
        if (q.joins)
                service_attach_to(c->bus->service, &c->caller, q.spec_fd, on_run, c);
        else
                service_run(c->bus->service, &c->caller, &q, on_run, c);
}

static void run(BusCall *c)
{
        submit(c, false);
}

static void attach(BusCall *c)
{
        submit(c, true);
}

BUS_METHOD(bus_run_task)
{
        BusCall *c = bus_call_new(ASSERT_PTR(userdata), m);
        if (c)
                bus_call_identify(c, run);
        return 1;
}

BUS_METHOD(bus_attach_task)
{
        BusCall *c = bus_call_new(ASSERT_PTR(userdata), m);
        if (c)
                bus_call_identify(c, attach);
        return 1;
}

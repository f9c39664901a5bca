/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls that change nothing: what a task's processes are at, what they have used where no cgroup counts it, what the host can
 * do, and where network traffic is counted.
 *
 * Answers are read within the handler. What they point to (strings, the descriptor of the map) is the message's, so that
 * callbacks have it borrowed; only what becomes JSON is copied. An answer may be long (a tick reads the usage of all tasks that
 * need it), so usages are handed on by the batch, from the stack. */

#include <errno.h>

#include "common/json/json.h"
#include "daemon/launch/launcher-call.h"

static int read_paths(sd_bus_message *m, json_t *process)
{
        _cleanup_json_ json_t *paths = json_array();
        const char *path;

        int r = sd_bus_message_enter_container(m, 'a', "s");
        while (r >= 0 && (r = sd_bus_message_read(m, "s", &path)) > 0)
                if (json_array_append_new(paths, json_string(path)) < 0)
                        return -ENOMEM;
        if (r >= 0 && json_array_size(paths) > 0 && json_object_set(process, "paths", paths) < 0)
                return -ENOMEM;
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* 1 if there was another one. */
static int read_process(sd_bus_message *m, json_t *processes)
{
        _cleanup_json_ json_t *process = json_object();
        const char *state, *comm, *wchan;
        uint32_t pid, n_fds;

        int r = sd_bus_message_enter_container(m, 'r', "usssuas");
        if (r <= 0)
                return r;
        r = sd_bus_message_read(m, "usssu", &pid, &state, &comm, &wchan, &n_fds);
        if (r < 0)
                return r;
        if (json_set_integer(process, "pid", pid) < 0 || json_set_string(process, "state", state) < 0 ||
            json_set_string(process, "comm", comm) < 0 ||
            json_set_string(process, "wchan", wchan[0] ? wchan : NULL) < 0 ||
            (n_fds > 0 && json_set_integer(process, "descriptors", n_fds) < 0))
                return -ENOMEM;
        r = read_paths(m, process);
        if (r >= 0 && json_array_append(processes, process) < 0)
                r = -ENOMEM;
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 1;
}

static int on_inspected(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        _cleanup_json_ json_t *processes = json_array();
        LauncherCall *call = ASSERT_PTR(userdata);
        ReeveError e;

        const ReeveError *error = launcher_call_error(m, &e);
        if (!error) {
                int r = processes ? sd_bus_message_enter_container(m, 'a', "(usssuas)") : -ENOMEM;
                while (r >= 0 && (r = read_process(m, processes)) > 0)
                        ;
                if (r < 0)
                        error = launcher_call_bad_reply(r, &e);
        }
        call->inspected(error, error ? NULL : processes, call->userdata);
        return 0;
}

int launcher_client_inspect(LauncherClient *c, const char *task_id, unsigned attempt,
                            launcher_inspected_t callback, void *userdata, ReeveError *reterr)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(task_id);
        assert(callback);

        int r = launcher_call_begin(c, "Inspect", &m, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "su", task_id, attempt);
        return launcher_call_send(c, m, r,
                                  &(LauncherCall){ .handler = on_inspected,
                                                   .inspected = callback,
                                                   .userdata = userdata },
                                  reterr);
}

/* One entry of ReadUsage: 1, 0 at the end of the array, or a negative errno. */
static int read_usage_entry(sd_bus_message *m, LauncherUsage *ret)
{
        uint64_t user, system, rss, read_bytes, write_bytes, processes;
        uint32_t attempt;

        int r = sd_bus_message_read(m, "(sutttttt)", &ret->task_id, &attempt, &user, &system, &rss,
                                    &read_bytes, &write_bytes, &processes);
        if (r <= 0)
                return r;
        ret->attempt = attempt;
        ret->usage = (Usage){ 0 };
        usage_set(&ret->usage, USAGE_CPU, user + system, USAGE_PROCFS);
        usage_set(&ret->usage, USAGE_CPU_USER, user, USAGE_PROCFS);
        usage_set(&ret->usage, USAGE_CPU_SYSTEM, system, USAGE_PROCFS);
        usage_set(&ret->usage, USAGE_MEMORY_CURRENT, rss, USAGE_PROCFS);
        usage_set(&ret->usage, USAGE_IO_READ, read_bytes, USAGE_PROCFS);
        usage_set(&ret->usage, USAGE_IO_WRITE, write_bytes, USAGE_PROCFS);
        usage_set(&ret->usage, USAGE_PIDS_CURRENT, processes, USAGE_PROCFS);
        return 1;
}

#define USAGE_BATCH 64

static int on_usage(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        LauncherCall *call = ASSERT_PTR(userdata);
        LauncherUsage batch[USAGE_BATCH];
        size_t n = 0;
        ReeveError e;

        if (launcher_call_error(m, &e) || sd_bus_message_enter_container(m, 'a', "(sutttttt)") < 0)
                return 0;
        while (read_usage_entry(m, batch + n) > 0)
                if (++n == USAGE_BATCH) {
                        call->usage(batch, n, call->userdata);
                        n = 0;
                }
        if (n > 0)
                call->usage(batch, n, call->userdata);
        return 0;
}

int launcher_client_read_usage(LauncherClient *c, const char *const *task_ids, const unsigned *attempts,
                               size_t n, launcher_usage_t callback, void *userdata)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(task_ids && attempts);
        assert(callback);

        int r = launcher_call_begin(c, "ReadUsage", &m, NULL);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(su)");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = sd_bus_message_append(m, "(su)", task_ids[i], attempts[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;
        return launcher_call_send(
                        c, m, 0,
                        &(LauncherCall){ .handler = on_usage, .usage = callback, .userdata = userdata },
                        NULL);
}

static int on_described(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        LauncherCall *call = ASSERT_PTR(userdata);
        LauncherHost host;
        ReeveError e;

        const ReeveError *error = launcher_call_error(m, &e);
        if (!error) {
                int r = sd_bus_message_read(m, "ssu", &host.backend, &host.pool, &host.controllers);
                if (r < 0)
                        error = launcher_call_bad_reply(r, &e);
        }
        call->described(error, error ? NULL : &host, call->userdata);
        return 0;
}

int launcher_client_describe(LauncherClient *c, launcher_described_t callback, void *userdata,
                             ReeveError *reterr)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(callback);

        int r = launcher_call_begin(c, "Describe", &m, reterr);
        if (r < 0)
                return r;
        return launcher_call_send(c, m, 0,
                                  &(LauncherCall){ .handler = on_described,
                                                   .described = callback,
                                                   .userdata = userdata },
                                  reterr);
}

static int on_network(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        LauncherCall *call = ASSERT_PTR(userdata);
        int map_fd = -EBADF; /* the message's */
        uint32_t map_id = 0;
        ReeveError e;

        const ReeveError *error = launcher_call_error(m, &e);
        if (!error) {
                int r = sd_bus_message_read(m, "hu", &map_fd, &map_id);
                if (r < 0)
                        error = launcher_call_bad_reply(r, &e);
        }
        call->network(error, error ? -EBADF : map_fd, map_id, call->userdata);
        return 0;
}

int launcher_client_network(LauncherClient *c, launcher_network_t callback, void *userdata,
                            ReeveError *reterr)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(callback);

        int r = launcher_call_begin(c, "Network", &m, reterr);
        if (r < 0)
                return r;
        return launcher_call_send(
                        c, m, 0,
                        &(LauncherCall){ .handler = on_network, .network = callback, .userdata = userdata },
                        reterr);
}

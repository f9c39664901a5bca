/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tasks that have not ended as objects. Nothing is kept for them: a path is decoded to an id, which the registry knows or
 * not, so that objects come and go with tasks. Their properties are what everybody may know; the rest is GetTask's,
 * which can ask who asks.
 *
 * Only Status is signalled when it changes (bus-signal.c). Counters change all the time: they are read when somebody looks. */

#include <errno.h>

#include "basic/strings.h"
#include "common/json/json.h"
#include "daemon/bus/registry-bus-internal.h"
#include "daemon/model/task-json.h"

#define PROPERTY_GETTER(name)                                                                       \
        static int name(sd_bus *bus, const char *path, const char *interface, const char *property, \
                        sd_bus_message *reply, void *userdata, sd_bus_error *reterr)

PROPERTY_GETTER(get_kind)
{
        const TaskRow *t = ASSERT_PTR(userdata);
        return sd_bus_message_append(reply, "s", task_kind_name(t->kind));
}

PROPERTY_GETTER(get_status)
{
        const TaskRow *t = ASSERT_PTR(userdata);
        return sd_bus_message_append(reply, "s", task_state_name(t->status));
}

PROPERTY_GETTER(get_backend)
{
        const TaskRow *t = ASSERT_PTR(userdata);
        return sd_bus_message_append(reply, "s", t->has_backend ? record_backend_name(t->backend) : "");
}

PROPERTY_GETTER(get_pid)
{
        const TaskRow *t = ASSERT_PTR(userdata);
        return sd_bus_message_append(reply, "u", (uint32_t)t->pid);
}

PROPERTY_GETTER(get_frozen)
{
        const TaskRow *t = ASSERT_PTR(userdata);
        return sd_bus_message_append(reply, "b", t->frozen);
}

static int append_usage(sd_bus_message *reply, const TaskRow *t, const char *key, const char *signature)
{
        _cleanup_json_ json_t *o = json_object();

        int r = o ? usage_to_json(&t->usage, o) : -ENOMEM;
        return r < 0 ? r : bus_append_as(reply, signature, json_object_get(o, key));
}

PROPERTY_GETTER(get_usage)
{
        return append_usage(reply, ASSERT_PTR(userdata), "usage", "a{sx}");
}

PROPERTY_GETTER(get_usage_sources)
{
        return append_usage(reply, ASSERT_PTR(userdata), "usage_sources", "a{ss}");
}

#define ROW(member) offsetof(TaskRow, member)
#define CONST       SD_BUS_VTABLE_PROPERTY_CONST

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("TaskId", "s", NULL, ROW(task_id), CONST),
        SD_BUS_PROPERTY("Subsystem", "s", NULL, ROW(subsystem), CONST),
        SD_BUS_PROPERTY("TaskType", "s", NULL, ROW(task_type), CONST),
        SD_BUS_PROPERTY("Title", "s", NULL, ROW(title), CONST),
        SD_BUS_PROPERTY("CreatedBy", "s", NULL, ROW(created_by), CONST),
        SD_BUS_PROPERTY("Kind", "s", get_kind, 0, CONST),
        SD_BUS_PROPERTY("OwnerUid", "u", NULL, ROW(owner_uid), CONST),
        SD_BUS_PROPERTY("RunUid", "u", NULL, ROW(run_uid), CONST),
        SD_BUS_PROPERTY("RunGid", "u", NULL, ROW(run_gid), CONST),
        SD_BUS_PROPERTY("Priority", "i", NULL, ROW(priority), CONST),
        SD_BUS_PROPERTY("CreatedAt", "t", NULL, ROW(created_realtime), CONST),
        SD_BUS_PROPERTY("Attempts", "u", NULL, ROW(attempts), CONST),
        SD_BUS_PROPERTY("Status", "s", get_status, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Attempt", "u", NULL, ROW(attempt), 0),
        SD_BUS_PROPERTY("Backend", "s", get_backend, 0, 0),
        SD_BUS_PROPERTY("Cgroup", "s", NULL, ROW(cgroup), 0),
        SD_BUS_PROPERTY("Pid", "u", get_pid, 0, 0),
        SD_BUS_PROPERTY("Frozen", "b", get_frozen, 0, 0),
        SD_BUS_PROPERTY("StartedAt", "t", NULL, ROW(started_realtime), 0),
        SD_BUS_PROPERTY("Usage", "a{sx}", get_usage, 0, 0),
        SD_BUS_PROPERTY("UsageSources", "a{ss}", get_usage_sources, 0, 0),
        SD_BUS_VTABLE_END,
};

char *bus_task_path(const char *task_id)
{
        char *path;

        assert(task_id);
        return sd_bus_path_encode(TASK_OBJECT, task_id, &path) < 0 ? NULL : path;
}

/* The row that the getters see is a copy, with counters of this moment, that stays until the next message is looked at. */
static int find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                sd_bus_error *reterr)
{
        RegistryBus *b = ASSERT_PTR(userdata);
        _cleanup_free_ char *id = NULL;

        int r = sd_bus_path_decode(path, TASK_OBJECT, &id);
        if (r <= 0)
                return r;
        const TaskRow *row = service_open_task(b->service, id);
        if (!row)
                return 0;
        b->shown = *row; /* shallow, for the message */
        service_read_usage(b->service, id, &b->shown.usage);
        *ret_found = &b->shown;
        return 1;
}

static char **free_names(char **names, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(names[i]);
        free(names);
        return NULL;
}

static int enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret, sd_bus_error *reterr)
{
        RegistryBus *b = ASSERT_PTR(userdata);
        size_t cursor = 0, n = 0, room = 0;
        char **names = NULL;

        for (const TaskRow *t; (t = service_next_open_task(b->service, &cursor));) {
                if (n + 2 > room) {
                        room = room ? 2 * room : 64;
                        char **more = reallocarray(names, room, sizeof(char *));
                        if (!more) {
                                free_names(names, n);
                                return -ENOMEM;
                        }
                        names = more;
                }
                names[n] = bus_task_path(t->task_id);
                if (!names[n]) {
                        free_names(names, n);
                        return -ENOMEM;
                }
                n++;
        }
        if (names)
                names[n] = NULL;
        *ret = names;
        return 0;
}

int bus_tasks_add(RegistryBus *b, sd_bus *bus)
{
        assert(b);
        assert(bus);

        int r = sd_bus_add_fallback_vtable(bus, NULL, TASK_OBJECT, TASK_INTERFACE, vtable, find, b);
        return r < 0 ? r : sd_bus_add_node_enumerator(bus, NULL, TASK_OBJECT, enumerate, b);
}

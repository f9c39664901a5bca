/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who calls. Only what the bus itself says counts: the user and groups that the kernel told it when the sender connected.
 * Nothing is read from /proc, where the process may be another by now, and what a message claims of itself is not looked at.
 *
 * The bus is asked once for each sender, asynchronously: a bus that is slow must not stop the registry. Its answer
 * cannot change, and unique names are never used again, so it is kept until the sender leaves the bus. One match tells of all
 * who leave (a NameOwnerChanged without a new owner); a match for each sender would soon meet the bus's limit on them.
 *
 * A bus that does not report groups (dbus-daemon before 1.13.x) leaves root as the only administrator without polkit. */

#include <errno.h>
#include <string.h>

#include "basic/log.h"
#include "daemon/bus/registry-bus-internal.h"

static BusSender *sender_new(RegistryBus *b, const char *name)
{
        BusSender *s = NEW0(BusSender, 1);
        if (!s)
                return NULL;
        s->bus = b;
        s->name = strdup(name);
        list_init(&s->calls);
        if (!s->name || hash_put(b->senders, s->name, s) < 0) {
                free(s->name);
                free(s);
                return NULL;
        }
        return s;
}

static void sender_free(BusSender *s)
{
        LIST_FOREACH_SAFE(&s->calls, link) {
                BusCall *c = container_of(link, BusCall, link);
                if (!c->in_service) {
                        bus_call_free(c);
                        continue;
                }
                list_remove(&c->link);
                list_append(&s->bus->orphans, &c->link);
                c->sender = NULL;
        }
        hash_remove(s->bus->senders, s->name);
        sd_bus_slot_unref(s->query);
        free(s->groups);
        free(s->name);
        free(s);
}

BusSender *bus_sender_get(RegistryBus *b, sd_bus_message *m)
{
        const char *name = sd_bus_message_get_sender(m);

        assert(b);

        if (!name)
                return NULL;
        return hash_get(b->senders, name) ?: sender_new(b, name);
}

static int read_groups(sd_bus_message *m, BusSender *s)
{
        const void *groups;
        size_t size = 0;

        int r = sd_bus_message_enter_container(m, 'v', "au");
        if (r > 0)
                r = sd_bus_message_read_array(m, 'u', &groups, &size);
        if (r < 0)
                return r;
        free(s->groups);
        s->groups = size > 0 ? malloc(size) : NULL;
        s->caller.n_groups = s->groups ? size / sizeof(gid_t) : 0;
        if (s->groups)
                memcpy(s->groups, groups, size);
        return size > 0 && !s->groups ? -ENOMEM : sd_bus_message_exit_container(m);
}

static bool is_admin(const BusSender *s, uid_t uid)
{
        gid_t admins = s->bus->admin_gid;
        bool found = uid == 0;

        for (size_t i = 0; i < s->caller.n_groups && admins != (gid_t)-1; i++)
                found |= s->groups[i] == admins;
        return found;
}

/* a{sv}: of it UnixUserID, without which we do not know who it is, and UnixGroupIDs. */
static int read_credentials(sd_bus_message *m, BusSender *s)
{
        const char *key;
        uint32_t uid = 0;
        bool has_uid = false;

        int r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                if ((r = sd_bus_message_read(m, "s", &key)) < 0)
                        break;
                if (strcmp(key, "UnixUserID") == 0) {
                        r = sd_bus_message_read(m, "v", "u", &uid);
                        has_uid = r > 0;
                } else if (strcmp(key, "UnixGroupIDs") == 0)
                        r = read_groups(m, s);
                else
                        r = sd_bus_message_skip(m, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        if (r < 0)
                return r;
        if (!has_uid)
                return -ENODATA;
        s->caller.uid = uid;
        s->caller.groups = s->groups;
        s->caller.admin = is_admin(s, uid);
        return 0;
}

static void go_on(BusCall *c)
{
        bus_step_t next = c->next;

        c->caller = c->sender->caller;
        c->next = NULL;
        next(c);
}

static void fail_waiting(BusSender *s, int error)
{
        ReeveError e = REEVE_ERROR_NULL;

        reeve_error_errno(&e, error, NULL, "the bus does not say who calls");
        e.code = REEVE_ERROR_PERMISSION_DENIED;
        LIST_FOREACH_SAFE(&s->calls, link)
                bus_call_fail(container_of(link, BusCall, link), &e);
}

/* A step may answer and free any call of its own, but no other. */
static int on_credentials(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        BusSender *s = ASSERT_PTR(userdata);

        s->query = sd_bus_slot_unref(s->query);
        int r = -sd_bus_message_get_errno(m);
        if (r >= 0)
                r = read_credentials(m, s);
        if (r < 0) {
                log_debug_errno(r, "bus: cannot learn who %s is", s->name);
                fail_waiting(s, r);
                return 0;
        }
        s->known = true;
        LIST_FOREACH_SAFE(&s->calls, link) {
                BusCall *c = container_of(link, BusCall, link);
                if (c->next)
                        go_on(c);
        }
        return 0;
}

void bus_call_identify(BusCall *c, bus_step_t next)
{
        ReeveError e = REEVE_ERROR_NULL;
        BusSender *s = c->sender;

        assert(next);

        c->next = next;
        if (s->known) {
                go_on(c);
                return;
        }
        if (s->query)
                return;
        int r = sd_bus_call_method_async(c->bus->bus, &s->query, "org.freedesktop.DBus",
                                         "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                         "GetConnectionCredentials", on_credentials, s, "s", s->name);
        if (r < 0) {
                reeve_error_errno(&e, r, NULL, "cannot ask who calls");
                bus_call_fail(c, &e);
        }
}

static int on_name_lost(sd_bus_message *m, void *userdata, sd_bus_error *reterr)
{
        RegistryBus *b = ASSERT_PTR(userdata);
        const char *name;

        if (sd_bus_message_read(m, "s", &name) <= 0)
                return 0;
        BusSender *s = hash_get(b->senders, name);
        if (s)
                sender_free(s);
        return 0;
}

int bus_senders_start(RegistryBus *b)
{
        assert(b);
        return sd_bus_add_match_async(b->bus, NULL,
                                      "type='signal',sender='org.freedesktop.DBus',"
                                      "path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
                                      "member='NameOwnerChanged',arg2=''",
                                      on_name_lost, NULL, b);
}

void bus_senders_stop(RegistryBus *b)
{
        assert(b);
        HASH_FOREACH(b->senders, BusSender, s)
                sender_free(s);
}

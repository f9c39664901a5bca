/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each form of value in the types that systemd's bus interface has for it (busctl introspect org.freedesktop.systemd1 shows them).
 *
 * Devices go as "/dev/block/MAJ:MIN", which systemd takes apart without looking at any file, so it works where nobody
 * made such links, and no path of a user is looked at by root. A quota is microseconds of CPU in a second here. */

#include "common/unit-property/unit-property-bus.h"

#include <errno.h>
#include <stdio.h>

#define QUOTA_USEC_PER_PERMYRIAD 100 /* a million in a second are 10,000 of them */

static int append_number(sd_bus_message *m, const char *name, uint64_t number)
{
        return sd_bus_message_append(m, "(sv)", name, "t", number);
}

static int append_device(sd_bus_message *m, const char *name, const char *device, uint64_t amount)
{
        char path[48];

        snprintf(path, sizeof(path), "/dev/block/%s", device);
        return sd_bus_message_append(m, "(sv)", name, "a(st)", 1, path, amount);
}

/* Opens (name, variant of `type`), for what has arrays of bytes in it. */
static int open_entry(sd_bus_message *m, const char *name, const char *type)
{
        int r = sd_bus_message_open_container(m, 'r', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", name);
        return r < 0 ? r : sd_bus_message_open_container(m, 'v', type);
}

static int close_entry(sd_bus_message *m)
{
        int r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_list(sd_bus_message *m, const char *name, const UnitPropertyValue *v)
{
        int r = open_entry(m, name, "ay");
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', v->bits, v->n_bits);
        return r < 0 ? r : close_entry(m);
}

static int append_address(sd_bus_message *m, const char *name, const UnitPropertyValue *v)
{
        int r = open_entry(m, name, "a(iayu)");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(iayu)");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'r', "iayu");
        if (r >= 0)
                r = sd_bus_message_append(m, "i", (int32_t)v->family);
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', v->address, v->address_size);
        if (r >= 0)
                r = sd_bus_message_append(m, "u", v->prefix);
        if (r >= 0)
                r = close_entry(m); /* of the structure and the array */
        return r < 0 ? r : close_entry(m);
}

/* Parts of UINT32_MAX, as systemd scales shares; the nearest one. */
static uint32_t scale_share(uint64_t permyriad)
{
        return (uint32_t)((permyriad * UINT32_MAX + 5000) / 10000);
}

static int append_value(sd_bus_message *m, const UnitProperty *p, const UnitPropertyValue *v)
{
        const char *name = p->message ?: p->name;

        switch (p->form) {
        case UNIT_PROPERTY_AMOUNT:
        case UNIT_PROPERTY_WEIGHT:
                return append_number(m, name, v->number);
        case UNIT_PROPERTY_SWITCH:
                return sd_bus_message_append(m, "(sv)", name, "b", 1);
        case UNIT_PROPERTY_SHARE:
                return sd_bus_message_append(m, "(sv)", name, "u", scale_share(v->number));
        case UNIT_PROPERTY_DEVICE_AMOUNT:
        case UNIT_PROPERTY_DEVICE_WEIGHT:
                return append_device(m, name, v->device, v->number);
        case UNIT_PROPERTY_LIST:
                return append_list(m, name, v);
        case UNIT_PROPERTY_ADDRESS:
                return append_address(m, name, v);
        case UNIT_PROPERTY_PORTS:
                return sd_bus_message_append(m, "(sv)", name, "a(iiqq)", 1, v->family, v->protocol,
                                             v->n_ports, v->first_port);
        case UNIT_PROPERTY_INTERFACE:
                return sd_bus_message_append(m, "(sv)", name, "(bas)", !v->inverted, 1, v->text);
        case UNIT_PROPERTY_CHOICE:
                return sd_bus_message_append(m, "(sv)", name, "s", v->text);
        case UNIT_PROPERTY_NODE:
                return sd_bus_message_append(m, "(sv)", name, "a(ss)", 1, v->node, v->text);
        }
        assert(false);
        return -EINVAL;
}

int unit_property_append(sd_bus_message *m, const char *name, const char *value)
{
        UnitPropertyValue v;
        UnitProperty p;

        assert(m);
        assert(name);
        assert(value);

        int r = unit_property_find(name, &p);
        if (r >= 0)
                r = unit_property_parse(&p, value, &v);
        if (r >= 0)
                r = append_value(m, &p, &v);
        return MIN(r, 0);
}

static int append_limit_value(sd_bus_message *m, const LimitKind *k, const LimitValue *v)
{
        const UnitProperty list = { .name = k->name, .form = UNIT_PROPERTY_LIST };
        UnitPropertyValue bits;
        int r;

        switch (k->form) {
        case LIMIT_AMOUNT:
        case LIMIT_WEIGHT:
                return append_number(m, k->name, v->amount);
        case LIMIT_QUOTA:
                return append_number(m, "CPUQuotaPerSecUSec",
                                     v->amount >= UINT64_MAX / QUOTA_USEC_PER_PERMYRIAD
                                                     ? UINT64_MAX
                                                     : v->amount * QUOTA_USEC_PER_PERMYRIAD);
        case LIMIT_DEVICE:
                return append_device(m, k->name, v->device, v->amount);
        case LIMIT_LIST:
                r = unit_property_parse(&list, v->list, &bits);
                return r < 0 ? r : append_list(m, k->name, &bits);
        }
        assert(false);
        return -EINVAL;
}

int unit_property_append_limit(sd_bus_message *m, const LimitKind *k, const LimitValue *v)
{
        assert(m);
        assert(k);
        assert(v);

        int r = append_limit_value(m, k, v);
        return MIN(r, 0);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What may be asked of systemd for a scope is a list of what is allowed, because systemd's own grows with each version:
 * what is not known here is not passed on, whatever it would do. systemd.resource-control(5) of version 252 is the source,
 * with what came until 257; an older systemd refuses what it does not know, with its own words.
 *
 * Left out on purpose, even for root: BPF programs by path (IPIngressFilterPath=, BPFProgram=), which would stand
 * between the task and reeve's counters; DisableControllers= and Delegate=, for the tree below the scope is reeve's; and
 * RuntimeMaxSec=, which is in no one's ladder and record: a task's time is limited by its deadline.
 *
 * Root's alone is what can take from others. Weights and protections compete with all siblings in a slice, other than in backend
 * cgroup, where they compete within one uid. IPAddressAllow= looks harmless and is not: systemd joins a unit's list with those of
 * the slices above, and what is allowed anywhere wins over what is denied, so an administrator's IPAddressDeny= on
 * reeve.slice would be cancelled by it. SocketBindAllow= and RestrictNetworkInterfaces= are programs of each cgroup, of which
 * all must agree: they only narrow. */

#include "common/unit-property/unit-property.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/parse.h"
#include "basic/strings.h"

#define SHARE_MAX     10000
#define INTERFACE_MAX 15 /* IFNAMSIZ, less the NUL */
#define SLICE_MAX     255

#define AMOUNT(name, ...)                                       \
        {                                                       \
                name, NULL, UNIT_PROPERTY_AMOUNT, ##__VA_ARGS__ \
        }
#define ACCOUNTING(name)                         \
        {                                        \
                name, NULL, UNIT_PROPERTY_SWITCH \
        }
#define ROOT .root = true

/* In alphabetical order. */
static const UnitProperty properties[] = {
        ACCOUNTING("CPUAccounting"),
        { "CPUQuotaPeriodSec", "CPUQuotaPeriodUSec", UNIT_PROPERTY_AMOUNT },
        AMOUNT("DefaultMemoryLow", ROOT),
        AMOUNT("DefaultMemoryMin", ROOT),
        { "DeviceAllow", NULL, UNIT_PROPERTY_NODE, ROOT },
        { "DevicePolicy", NULL, UNIT_PROPERTY_CHOICE, .choices = "auto closed strict" },
        ACCOUNTING("IOAccounting"),
        { "IODeviceLatencyTargetSec", "IODeviceLatencyTargetUSec", UNIT_PROPERTY_DEVICE_AMOUNT, ROOT },
        { "IODeviceWeight", NULL, UNIT_PROPERTY_DEVICE_WEIGHT },
        ACCOUNTING("IPAccounting"),
        { "IPAddressAllow", NULL, UNIT_PROPERTY_ADDRESS, ROOT },
        { "IPAddressDeny", NULL, UNIT_PROPERTY_ADDRESS },
        { "ManagedOOMMemoryPressure", NULL, UNIT_PROPERTY_CHOICE, .choices = "auto kill" },
        { "ManagedOOMMemoryPressureLimit", NULL, UNIT_PROPERTY_SHARE },
        { "ManagedOOMPreference", NULL, UNIT_PROPERTY_CHOICE, ROOT, .choices = "none avoid omit" },
        { "ManagedOOMSwap", NULL, UNIT_PROPERTY_CHOICE, .choices = "auto kill" },
        ACCOUNTING("MemoryAccounting"),
        AMOUNT("MemoryZSwapMax"),
        { "RestrictNetworkInterfaces", NULL, UNIT_PROPERTY_INTERFACE },
        { "SocketBindAllow", NULL, UNIT_PROPERTY_PORTS },
        { "SocketBindDeny", NULL, UNIT_PROPERTY_PORTS },
        { "StartupAllowedCPUs", NULL, UNIT_PROPERTY_LIST },
        { "StartupAllowedMemoryNodes", NULL, UNIT_PROPERTY_LIST },
        { "StartupCPUWeight", NULL, UNIT_PROPERTY_WEIGHT },
        { "StartupIOWeight", NULL, UNIT_PROPERTY_WEIGHT },
        AMOUNT("StartupMemoryHigh"),
        AMOUNT("StartupMemoryMax"),
        AMOUNT("StartupMemorySwapMax"),
        AMOUNT("StartupMemoryZSwapMax"),
        ACCOUNTING("TasksAccounting"),
};

const UnitProperty *unit_property(size_t index)
{
        return index < ELEMENTSOF(properties) ? properties + index : NULL;
}

static bool ends_with(const char *text, const char *end)
{
        size_t n = strlen(text), k = strlen(end);
        return n > k && streq(text + n - k, end);
}

/* (Default)(Startup)(CPU|Memory|IO|Tasks)...(Weight|Max|High|Low|Min) */
static bool is_of_family(const char *name, UnitPropertyForm *ret)
{
        static const char *const families[] = { "CPU", "Memory", "IO", "Tasks" };
        static const char *const amounts[] = { "Max", "High", "Low", "Min" };
        const char *rest = NULL;
        bool amount = false;

        name = string_after(name, "Default") ?: name;
        name = string_after(name, "Startup") ?: name;
        for (size_t i = 0; i < ELEMENTSOF(families) && !rest; i++)
                rest = string_after(name, families[i]);
        if (!rest || rest[strspn(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")])
                return false;
        for (size_t i = 0; i < ELEMENTSOF(amounts); i++)
                amount |= ends_with(name, amounts[i]);
        *ret = amount ? UNIT_PROPERTY_AMOUNT : UNIT_PROPERTY_WEIGHT;
        return amount || ends_with(name, "Weight");
}

int unit_property_find(const char *name, UnitProperty *ret)
{
        UnitPropertyForm form;

        assert(name);
        assert(ret);

        for (size_t i = 0; i < ELEMENTSOF(properties); i++)
                if (streq(properties[i].name, name)) {
                        *ret = properties[i];
                        return 0;
                }
        if (limit_kind_find(name) || !is_of_family(name, &form))
                return -ENOENT;
        *ret = (UnitProperty){ .name = name, .form = form, .root = true };
        return 0;
}

CgroupController unit_property_controller(const UnitProperty *p)
{
        static const struct {
                const char *prefix;
                CgroupController controller;
        } controllers[] = {
                { "CPU", CGROUP_CPU },    { "Memory", CGROUP_MEMORY },  { "IO", CGROUP_IO },
                { "Tasks", CGROUP_PIDS }, { "Allowed", CGROUP_CPUSET },
        };
        const char *name;

        assert(p);

        name = string_after(p->name, "Default") ?: p->name;
        name = string_after(name, "Startup") ?: name;
        for (size_t i = 0; i < ELEMENTSOF(controllers) && p->form != UNIT_PROPERTY_SWITCH; i++)
                if (string_after(name, controllers[i].prefix))
                        return controllers[i].controller;
        return _CGROUP_CONTROLLER_MAX;
}

bool unit_property_needs_bpf(const UnitProperty *p)
{
        assert(p);

        return p->form == UNIT_PROPERTY_PORTS || p->form == UNIT_PROPERTY_INTERFACE;
}

/* Copies up to the first of `separators`, which must be there; gives the rest behind it, or NULL. */
static const char *split(const char *text, const char *separators, char *ret, size_t size)
{
        size_t n = strcspn(text, separators);

        if (n == 0 || n >= size || !text[n])
                return NULL;
        memcpy(ret, text, n);
        ret[n] = '\0';
        return text + n + 1;
}

static int parse_address(const char *text, UnitPropertyValue *v)
{
        char address[INET6_ADDRSTRLEN];

        const char *prefix = split(text, "/", address, sizeof(address));
        if (!prefix)
                return -EINVAL;
        v->family = strchr(address, ':') ? AF_INET6 : AF_INET;
        v->address_size = v->family == AF_INET6 ? 16 : 4;
        if (inet_pton(v->family, address, v->address) != 1)
                return -EINVAL;
        int r = parse_u32(prefix, &v->prefix);
        return r >= 0 && v->prefix > 8 * v->address_size ? -ERANGE : r;
}

static int parse_ports(const char *text, UnitPropertyValue *v)
{
        static const int max[] = { INT16_MAX, UINT8_MAX, UINT16_MAX, UINT16_MAX };
        int numbers[ELEMENTSOF(max)];
        char number[8];

        for (size_t i = 0; i < ELEMENTSOF(max); i++) {
                const char *rest = i + 1 < ELEMENTSOF(max) ? split(text, ":", number, sizeof(number)) : text;

                int r = !rest ? -EINVAL
                              : parse_int_range(rest == text ? text : number, 0, max[i], numbers + i);
                if (r < 0)
                        return r;
                text = rest;
        }
        v->family = numbers[0];
        v->protocol = numbers[1];
        v->n_ports = (uint16_t)numbers[2];
        v->first_port = (uint16_t)numbers[3];
        if (v->family != 0 && v->family != AF_INET && v->family != AF_INET6)
                return -EINVAL;
        return (v->n_ports == 0) != (v->first_port == 0) || numbers[2] + numbers[3] > UINT16_MAX + 1
                               ? -ERANGE
                               : 0;
}

/* systemd leaves out, with no more than a warning in its log, what it does not take for the name of an interface: so
 * the same rules stand here. */
static int parse_interface(const char *text, UnitPropertyValue *v)
{
        static const char *const special[] = { ".", "..", "all", "default" };

        v->inverted = text[0] == '~';
        v->text = text + v->inverted;
        size_t n = strlen(v->text);
        if (n == 0 || n > INTERFACE_MAX || v->text[strcspn(v->text, "/:% ~")] ||
            n == strspn(v->text, "0123456789"))
                return -EINVAL;
        for (size_t i = 0; i < n; i++)
                if (v->text[i] < '!' || v->text[i] > '~')
                        return -EINVAL;
        for (size_t i = 0; i < ELEMENTSOF(special); i++)
                if (streq(v->text, special[i]))
                        return -EINVAL;
        return 0;
}

static int parse_node(const char *text, UnitPropertyValue *v)
{
        v->text = split(text, " ", v->node, sizeof(v->node));
        return !v->text || !*v->text || v->text[strspn(v->text, "rwm")] || strlen(v->text) > 3 ? -EINVAL : 0;
}

static int parse_choice(const char *choices, const char *text, UnitPropertyValue *v)
{
        size_t n = strlen(text);

        v->text = text;
        for (const char *p = choices; n > 0 && *p; p += strspn(p, " ")) {
                size_t k = strcspn(p, " ");
                if (k == n && memcmp(p, text, n) == 0)
                        return 0;
                p += k;
        }
        return -EINVAL;
}

/* "0-3,5" as a mask. */
static int parse_list(const char *text, UnitPropertyValue *v)
{
        int first, last;
        char range[16];

        for (const char *p = text; p;) {
                size_t n = strcspn(p, ",");

                if (n >= sizeof(range))
                        return -EINVAL;
                memcpy(range, p, n);
                range[n] = '\0';
                p = p[n] ? p + n + 1 : NULL;

                char *dash = strchr(range, '-');
                if (dash)
                        *dash++ = '\0';
                int r = parse_int_range(range, 0, UNIT_PROPERTY_LIST_MAX - 1, &first);
                if (r >= 0)
                        r = parse_int_range(dash ?: range, 0, UNIT_PROPERTY_LIST_MAX - 1, &last);
                if (r < 0 || last < first)
                        return r < 0 ? r : -ERANGE;
                for (int i = first; i <= last; i++)
                        v->bits[i / 8] |= (uint8_t)(1U << i % 8);
                v->n_bits = MAX(v->n_bits, (size_t)last / 8 + 1);
        }
        return 0;
}

static int parse_like_limit(LimitForm form, const char *text, UnitPropertyValue *v)
{
        const LimitKind kind = { .form = form };
        LimitValue limit;

        int r = limit_parse(&kind, text, &limit);
        if (r < 0)
                return r;
        v->number = limit.amount;
        memcpy(v->device, limit.device, sizeof(v->device));
        return 0;
}

int unit_property_parse(const UnitProperty *p, const char *value, UnitPropertyValue *ret)
{
        int r;

        assert(p);
        assert(value);
        assert(ret);

        *ret = (UnitPropertyValue){ 0 };
        switch (p->form) {
        case UNIT_PROPERTY_AMOUNT:
                return parse_like_limit(LIMIT_AMOUNT, value, ret);
        case UNIT_PROPERTY_WEIGHT:
                return parse_like_limit(LIMIT_WEIGHT, value, ret);
        case UNIT_PROPERTY_DEVICE_AMOUNT:
                return parse_like_limit(LIMIT_DEVICE, value, ret);
        case UNIT_PROPERTY_DEVICE_WEIGHT:
                r = parse_like_limit(LIMIT_DEVICE, value, ret);
                return r >= 0 && (ret->number < LIMIT_WEIGHT_MIN || ret->number > LIMIT_WEIGHT_MAX) ? -ERANGE
                                                                                                    : r;
        case UNIT_PROPERTY_SHARE:
                r = parse_u64(value, &ret->number);
                return r >= 0 && ret->number > SHARE_MAX ? -ERANGE : r;
        case UNIT_PROPERTY_SWITCH:
                return streq(value, "yes") ? 0 : -EINVAL;
        case UNIT_PROPERTY_LIST:
                return parse_list(value, ret);
        case UNIT_PROPERTY_ADDRESS:
                return parse_address(value, ret);
        case UNIT_PROPERTY_PORTS:
                return parse_ports(value, ret);
        case UNIT_PROPERTY_INTERFACE:
                return parse_interface(value, ret);
        case UNIT_PROPERTY_CHOICE:
                return parse_choice(p->choices, value, ret);
        case UNIT_PROPERTY_NODE:
                return parse_node(value, ret);
        }
        assert(false);
        return -EINVAL;
}

static int refuse_weight(const char *name, ReeveError *reterr)
{
        return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, name,
                               "a weight above %d competes with other users' tasks in a scope: only root "
                               "may give it",
                               LIMIT_WEIGHT_NORMAL);
}

int unit_property_check(const char *name, const char *value, uid_t author, ReeveError *reterr)
{
        UnitPropertyValue v;
        UnitProperty p;

        assert(name);
        assert(value);

        if (unit_property_find(name, &p) < 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                       "it is no property that a task's scope may be given");
        if (p.root && author != 0)
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, name,
                                       "only root may give this property to a scope");
        if (unit_property_parse(&p, value, &v) < 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                       "its value is not of the form of this property");
        bool is_weight = p.form == UNIT_PROPERTY_WEIGHT || p.form == UNIT_PROPERTY_DEVICE_WEIGHT;
        return is_weight && author != 0 && v.number > LIMIT_WEIGHT_NORMAL ? refuse_weight(name, reterr) : 0;
}

int unit_property_check_limit(const LimitKind *k, const LimitValue *v, uid_t author, ReeveError *reterr)
{
        assert(k);
        assert(v);

        if (author == 0)
                return 0;
        if (k->form == LIMIT_WEIGHT && v->amount > LIMIT_WEIGHT_NORMAL)
                return refuse_weight(k->name, reterr);
        if ((streq(k->name, "MemoryLow") || streq(k->name, "MemoryMin")) && v->amount > 0)
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, k->name,
                                       "memory that is protected in a scope is taken from others: only root "
                                       "may give it");
        return 0;
}

bool unit_property_slice_is_valid(const char *name)
{
        assert(name);

        /* A dash stands for a level, so that none may be empty. */
        return strlen(name) <= SLICE_MAX && ends_with(name, ".slice") && name[0] != '-' &&
               !strstr(name, "--") && !strstr(name, "-.slice") &&
               !name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.\\")];
}

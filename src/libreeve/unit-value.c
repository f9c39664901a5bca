/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Values as systemd.resource-control(5) describes them, in the canonical form of common/unit-property. What systemd has as
 * a list (addresses, ports, interfaces) becomes an entry for each element, since entries of one name add up; all else
 * is replaced when it is given again, but for devices, of which each has its own.
 *
 * Who may give what is the launcher's to decide. It is asked here, too, with the caller's uid, because this is where
 * the caller still sees what he wrote. */

#include "libreeve/unit-value.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <unistd.h>

#include "basic/parse.h"
#include "basic/strings.h"
#include "libreeve/property-value.h"

#define BLANKS " \t"

/* ---- one value ---- */

static int read_count(const char *text, uint64_t *ret)
{
        if (!streq(text, "infinity"))
                return parse_u64(text, ret);
        *ret = UINT64_MAX;
        return 0;
}

static bool is_span(const char *name)
{
        size_t n = strlen(name);
        return n > 3 && streq(name + n - 3, "Sec");
}

static int read_amount(const UnitProperty *p, const char *value, uint64_t *ret, ReeveError *reterr)
{
        if (is_span(p->name))
                return parse_span(value, ret) < 0 || *ret == 0
                                       ? property_bad_value(p->name, value, "a time span above 0 (10ms)",
                                                            reterr)
                                       : 0;
        if (unit_property_controller(p) == CGROUP_MEMORY)
                return property_read_memory(p->name, value, ret, reterr);
        return read_count(value, ret) < 0
                               ? property_bad_value(p->name, value, "a number or 'infinity'", reterr)
                               : 0;
}

static int set_amount(Request *q, const UnitProperty *p, const char *value, ReeveError *reterr)
{
        char text[24] = "infinity";
        uint64_t amount;

        int r = read_amount(p, value, &amount, reterr);
        if (r < 0)
                return r;
        if (amount != UINT64_MAX)
                snprintf(text, sizeof(text), "%" PRIu64, amount);
        return request_set_property(q, p->name, text, reterr);
}

static int set_share(Request *q, const UnitProperty *p, const char *value, ReeveError *reterr)
{
        uint32_t permyriad;
        char text[16];

        if (parse_permyriad(value, &permyriad) < 0 || permyriad > 10000)
                return property_bad_value(p->name, value, "a percentage up to 100%", reterr);
        snprintf(text, sizeof(text), "%u", permyriad);
        return request_set_property(q, p->name, text, reterr);
}

static int set_switch(Request *q, const UnitProperty *p, const char *value, ReeveError *reterr)
{
        bool on;

        if (parse_bool(value, &on) < 0)
                return property_bad_value(p->name, value, "yes", reterr);
        if (!on)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, p->name,
                                       "a task is accounted for, it cannot be switched off");
        return request_set_property(q, p->name, "yes", reterr);
}

static int set_device(Request *q, const UnitProperty *p, const char *value, ReeveError *reterr)
{
        char text[PROPERTY_DEVICE_SIZE];

        int r = property_read_device(p->name, value, is_span(p->name) ? parse_span : read_count, text,
                                     reterr);
        return r < 0 ? r : request_set_property(q, p->name, text, reterr);
}

static int set_list(Request *q, const UnitProperty *p, const char *value, ReeveError *reterr)
{
        _cleanup_free_ char *text = NULL;

        int r = property_read_list(p->name, value, &text, reterr);
        return r < 0 ? r : request_set_property(q, p->name, text, reterr);
}

static int set_node(Request *q, const UnitProperty *p, const char *value, ReeveError *reterr)
{
        _cleanup_free_ char *text = string_printf("%s%s", value, strchr(value, ' ') ? "" : " rwm");
        if (!text)
                return reeve_error_errno(reterr, ENOMEM, p->name, "cannot set a property");
        return request_add_property(q, p->name, text, reterr);
}

/* ---- elements of lists ---- */

static int add_address(Request *q, const UnitProperty *p, const char *word, ReeveError *reterr)
{
        static const struct {
                const char *word, *prefixes[2];
        } names[] = {
                { "any", { "0.0.0.0/0", "::/0" } },
                { "localhost", { "127.0.0.0/8", "::1/128" } },
                { "link-local", { "169.254.0.0/16", "fe80::/64" } },
                { "multicast", { "224.0.0.0/4", "ff00::/8" } },
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (streq(names[i].word, word)) {
                        int r = request_add_property(q, p->name, names[i].prefixes[0], reterr);
                        return r < 0 ? r : request_add_property(q, p->name, names[i].prefixes[1], reterr);
                }
        _cleanup_free_ char *text =
                        strchr(word, '/') ? strdup(word)
                                          : string_printf("%s/%d", word, strchr(word, ':') ? 128 : 32);
        if (!text)
                return reeve_error_errno(reterr, ENOMEM, p->name, "cannot set a property");
        return request_add_property(q, p->name, text, reterr);
}

/* "80", "1024-2047" */
static int read_range(const char *text, int *ret_first, int *ret_n)
{
        char first[16];
        int last;

        size_t n = strcspn(text, "-");
        if (n >= sizeof(first))
                return -EINVAL;
        memcpy(first, text, n);
        first[n] = '\0';
        if (parse_int_range(first, 1, UINT16_MAX, ret_first) < 0 ||
            parse_int_range(text[n] ? text + n + 1 : first, *ret_first, UINT16_MAX, &last) < 0)
                return -EINVAL;
        *ret_n = last - *ret_first + 1;
        return 0;
}

/* "any", or parts with colons between them, in this order and each may be missing: ipv4 or ipv6, tcp or udp, ports. */
static int add_ports(Request *q, const UnitProperty *p, const char *word, ReeveError *reterr)
{
        static const struct {
                const char *word;
                int family, protocol;
        } parts[] = {
                { "ipv4:", AF_INET, 0 },
                { "ipv6:", AF_INET6, 0 },
                { "tcp:", 0, IPPROTO_TCP },
                { "udp:", 0, IPPROTO_UDP },
        };
        int family = 0, protocol = 0, first = 0, n = 0;
        _cleanup_free_ char *with_end = string_printf("%s:", word);
        char text[64];

        if (!with_end)
                return reeve_error_errno(reterr, ENOMEM, p->name, "cannot set a property");
        const char *rest = with_end, *after;
        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                if ((after = string_after(rest, parts[i].word)) && !(parts[i].family ? family : protocol)) {
                        family |= parts[i].family;
                        protocol |= parts[i].protocol;
                        rest = after;
                }
        if (*rest)
                with_end[strlen(with_end) - 1] = '\0';
        if (*rest && !streq(rest, "any") && read_range(rest, &first, &n) < 0)
                return property_bad_value(p->name, word, "ports (80, tcp:1024-2047, ipv4:udp, any)", reterr);
        snprintf(text, sizeof(text), "%d:%d:%d:%d", family, protocol, n, first);
        return request_add_property(q, p->name, text, reterr);
}

/* A "~" at the beginning of the list is for all of it. */
static int add_interface(Request *q, const UnitProperty *p, const char *word, bool inverted,
                         ReeveError *reterr)
{
        _cleanup_free_ char *text = string_printf("%s%s", inverted && word[0] != '~' ? "~" : "", word);
        if (!text)
                return reeve_error_errno(reterr, ENOMEM, p->name, "cannot set a property");
        return request_add_property(q, p->name, text, reterr);
}

static int add_words(Request *q, const UnitProperty *p, const char *value, ReeveError *reterr)
{
        _cleanup_free_ char *copy = strdup(value);
        char *rest = NULL;
        int r = -ENODATA;

        if (!copy)
                return reeve_error_errno(reterr, ENOMEM, p->name, "cannot set a property");
        for (char *word = strtok_r(copy, BLANKS ",", &rest); word && (r >= 0 || r == -ENODATA);
             word = strtok_r(NULL, BLANKS ",", &rest))
                r = p->form == UNIT_PROPERTY_ADDRESS ? add_address(q, p, word, reterr)
                    : p->form == UNIT_PROPERTY_PORTS ? add_ports(q, p, word, reterr)
                                                     : add_interface(q, p, word, value[0] == '~', reterr);
        return r == -ENODATA ? property_bad_value(p->name, value, "a list with something in it", reterr) : r;
}

static int set_by_form(Request *q, const UnitProperty *p, const char *value, ReeveError *reterr)
{
        switch (p->form) {
        case UNIT_PROPERTY_AMOUNT:
                return set_amount(q, p, value, reterr);
        case UNIT_PROPERTY_SHARE:
                return set_share(q, p, value, reterr);
        case UNIT_PROPERTY_SWITCH:
                return set_switch(q, p, value, reterr);
        case UNIT_PROPERTY_DEVICE_AMOUNT:
        case UNIT_PROPERTY_DEVICE_WEIGHT:
                return set_device(q, p, value, reterr);
        case UNIT_PROPERTY_LIST:
                return set_list(q, p, value, reterr);
        case UNIT_PROPERTY_NODE:
                return set_node(q, p, value, reterr);
        case UNIT_PROPERTY_ADDRESS:
        case UNIT_PROPERTY_PORTS:
        case UNIT_PROPERTY_INTERFACE:
                return add_words(q, p, value, reterr);
        case UNIT_PROPERTY_WEIGHT:
        case UNIT_PROPERTY_CHOICE:
                return request_set_property(q, p->name, value, reterr);
        }
        assert(false);
        return -EINVAL;
}

static int refuse_value(const UnitProperty *p, const char *value, ReeveError *reterr)
{
        char expected[96];

        switch (p->form) {
        case UNIT_PROPERTY_CHOICE:
                snprintf(expected, sizeof(expected), "one of: %s", p->choices);
                break;
        case UNIT_PROPERTY_ADDRESS:
                strcpy(expected, "addresses (10.0.0.0/8, fe80::/64, any, localhost, link-local, multicast)");
                break;
        case UNIT_PROPERTY_INTERFACE:
                strcpy(expected, "names of interfaces (lo eth0, or ~eth0 for all but this)");
                break;
        case UNIT_PROPERTY_NODE:
                strcpy(expected, "a device with what may be done to it (/dev/null rw)");
                break;
        case UNIT_PROPERTY_AMOUNT:
        case UNIT_PROPERTY_WEIGHT:
        case UNIT_PROPERTY_SWITCH:
        case UNIT_PROPERTY_SHARE:
        case UNIT_PROPERTY_DEVICE_AMOUNT:
        case UNIT_PROPERTY_DEVICE_WEIGHT:
        case UNIT_PROPERTY_LIST:
        case UNIT_PROPERTY_PORTS:
                strcpy(expected,
                       p->form == UNIT_PROPERTY_WEIGHT ? "a weight between 1 and 10000" : "a value of it");
                break;
        }
        return property_bad_value(p->name, value, expected, reterr);
}

int unit_value_apply(Request *q, const UnitProperty *p, const char *value, ReeveError *reterr)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(q);
        assert(p);
        assert(value);

        int r = set_by_form(q, p, value, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < q->spec.n_properties; i++) {
                const SpecLimit *l = q->spec.properties + i;
                if (!streq(l->name, p->name))
                        continue;
                r = unit_property_check(l->name, l->value, geteuid(), &e);
                if (r < 0 && e.code == REEVE_ERROR_INVALID_ARGUMENT)
                        return refuse_value(p, value, reterr);
                if (r < 0) {
                        if (reterr)
                                *reterr = e;
                        return r;
                }
        }
        return 0;
}

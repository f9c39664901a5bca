/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Resource controls of units: what may be asked of systemd for the scope of a task, and by whom.
 *
 * There are two kinds. What cgroup files can do as well is a limit (common/limit), in both backends; in a scope it becomes
 * a property of the unit. What only systemd has stands in the table of this folder. Both come in canonical form, for
 * the reason that common/limit.h gives:
 *
 *     amount      bytes, a count or microseconds in decimal, or "infinity"
 *     weight      1 to 10000
 *     switch      "yes": accounting can be asked for, never declined
 *     share       0 to 10000, parts per ten thousand
 *     device      "MAJ:MIN <amount>"; no paths, which root would have to look at
 *     list        "0-3,5"
 *     address     "10.0.0.0/8" or "fe80::/64": one for each entry
 *     ports       "<family>:<protocol>:<how many>:<first>", numbers as of socket(2), 0 for any: one for each entry
 *     interface   "lo", or "~lo" for all but this: one for each entry
 *     choice      one of a few words
 *     device node "/dev/null rwm": a path; root's, who may look at any
 *
 * The table is a list of what is allowed. Nothing that acts (FailureAction=), orders or binds units, places them
 * (Slice=, Delegate=), takes in processes (PIDs=) or says how they end (Kill*=, OOMPolicy=) is in it, for nobody. Only root
 * may give what takes from others: protection from reclaim, a weight above that of everybody, addresses that an
 * administrator forbade. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "basic/error.h"
#include "common/limit/limit.h"

typedef enum UnitPropertyForm {
        UNIT_PROPERTY_AMOUNT,
        UNIT_PROPERTY_WEIGHT,
        UNIT_PROPERTY_SWITCH,
        UNIT_PROPERTY_SHARE,
        UNIT_PROPERTY_DEVICE_AMOUNT,
        UNIT_PROPERTY_DEVICE_WEIGHT,
        UNIT_PROPERTY_LIST,
        UNIT_PROPERTY_ADDRESS,
        UNIT_PROPERTY_PORTS,
        UNIT_PROPERTY_INTERFACE,
        UNIT_PROPERTY_CHOICE,
        UNIT_PROPERTY_NODE,
} UnitPropertyForm;

typedef struct UnitProperty {
        const char *name;    /* as in a unit's file: "CPUQuotaPeriodSec" */
        const char *message; /* as in a message to systemd: "CPUQuotaPeriodUSec"; NULL: the same */
        UnitPropertyForm form;
        bool root;           /* only root may give it */
        const char *choices; /* "auto kill" */
} UnitProperty;

/* The properties that only systemd has, from index 0; NULL after the last one. */
const UnitProperty *unit_property(size_t index);

/* Finds a property that only systemd has: 0, or -ENOENT (limits are not found here). Besides the table this knows, as
 * root's, what a newer systemd may bring: an amount or a weight of CPU, memory, IO or tasks, to be told by its name
 * ("StartupMemoryMax"), which systemd then accepts or not. *ret borrows `name`. */
int unit_property_find(const char *name, UnitProperty *ret);

/* The controller without which it would have no effect; _CGROUP_CONTROLLER_MAX if it needs none. systemd sets what it can and
 * only logs the rest, so the launcher has to look. */
CgroupController unit_property_controller(const UnitProperty *p);

/* Whether a systemd that was built without its BPF framework accepts it without effect. */
bool unit_property_needs_bpf(const UnitProperty *p);

#define UNIT_PROPERTY_LIST_MAX 8192 /* CPUs and nodes that Linux can be built for */

/* A canonical value, read. */
typedef struct UnitPropertyValue {
        uint64_t number;
        char device[24];  /* "8:0" */
        const char *text; /* of a choice, an interface (without "~") or the access to a node; borrowed */
        char node[256];   /* path */
        bool inverted;    /* "~" */
        int family;       /* AF_INET, AF_INET6; of ports also 0: any */
        int protocol;     /* 0: any */
        uint8_t address[16];
        size_t address_size;
        uint32_t prefix;
        uint16_t n_ports, first_port;
        uint8_t bits[UNIT_PROPERTY_LIST_MAX / 8]; /* little endian */
        size_t n_bits;                            /* in bytes */
} UnitPropertyValue;

/* Reads a canonical value. -EINVAL or -ERANGE if it is none; *ret is undefined then. */
int unit_property_parse(const UnitProperty *p, const char *value, UnitPropertyValue *ret);

/* Whether `author` may give this property with this value to the scope of a task of his, and the value is canonical:
 * what the launcher asks of each entry of a specification. InvalidArgument or PermissionDenied, with the name as field;
 * a limit's name is InvalidArgument here, for limits have entries of their own. */
int unit_property_check(const char *name, const char *value, uid_t author, ReeveError *reterr);

/* The same for a limit that is to become a property of a scope. In backend cgroup nobody needs this: there one competes among one's
 * own tasks only. */
int unit_property_check_limit(const LimitKind *k, const LimitValue *v, uid_t author, ReeveError *reterr);

/* Whether it is the name of a slice ("system.slice", "a-b.slice"), but not the root's "-.slice". */
bool unit_property_slice_is_valid(const char *name);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Resource limits of one attempt: from author and reeved, into its leaf. */

#include <systemd/sd-bus.h>

#include "common/limit/limit.h"
#include "common/spec/spec.h"
#include "launcher/pool.h"

typedef struct LimitSetting {
        const LimitKind *kind;
        LimitValue value;
        bool is_wish; /* a kernel that cannot do it is not an error */
} LimitSetting;

typedef struct LimitSettings {
        LimitSetting items[2 * SPEC_LIMITS_MAX];
        size_t n;
} LimitSettings;

/* Adds limits to the settings; where there is one for the same thing already, the stricter of both stays.
 * InvalidArgument, with the limit's name as field, for an unknown name, a value that is not canonical or one that
 * this host (whose leaves have `controllers`) cannot enforce. */
int limits_resolve(LimitSettings *s, const SpecLimit *limits, size_t n, uint32_t controllers,
                   ReeveError *reterr);

/* Whether a scope may be given all this, by its author or by reeved for him: what takes from others is root's, and what
 * has no controller or disk here would have no effect, of which systemd tells nobody but its log. Errors have the name as field. */
int limits_check_scope(const LimitSettings *s, const Spec *spec, uid_t author, uint32_t controllers,
                       ReeveError *reterr);

/* Adds the weights of a priority where the host has the controllers and nobody set a weight. A priority is a wish among
 * one's own tasks, not a limit: where it cannot have an effect it is not refused. InvalidArgument if it is none. */
int limits_add_priority(LimitSettings *s, uint32_t priority, uint32_t controllers, ReeveError *reterr);

/* Appends them to the properties "(sv)" of a unit. */
int limits_append(sd_bus_message *m, const LimitSettings *s);

/* Puts them in force in a leaf. */
int limits_apply(int leaf_fd, const char *leaf_path, const LimitSettings *s, ReeveError *reterr);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "common/net/net.h"
#include "common/record/record.h"
#include "common/usage/usage.h"

/* What tells the traffic of the record's attempt. */
static inline NetRef net_ref_of_record(const Record *r)
{
        return (NetRef){ atomic_load(&r->net_map_id), r->cgroup_id, r->net_missed };
}

/* Sets the network fields of an account; NULL makes them unknown. */
void net_to_usage(Usage *u, const NetCount *c, UsageSource source);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The user database, asked before any fork and remembered for a few seconds. */

#include <stddef.h>
#include <sys/types.h>

#include "basic/time.h"
#include "common/spec/spec.h"

typedef struct User {
        uid_t uid;
        gid_t gid;                     /* primary */
        gid_t groups[SPEC_GROUPS_MAX]; /* all of them, `gid` included */
        size_t n_groups;
        usec_t known_until_boottime;
} User;

/* *ret stays valid until the next call. -ESRCH if there is no such user; other negative errno if the database does
 * not answer. */
int users_get(uid_t uid, usec_t now_boottime, const User **ret);

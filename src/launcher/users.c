/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A handful of users start most tasks, so a small ring is enough; entries are short-lived, so that a removed group
 * membership holds within seconds. A lookup may block on a directory server: it happens in the launcher, before
 * the fork, because keepers and children may not allocate. */

#include "launcher/users.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>

#include "basic/macro.h"

#define USERS_KEPT 8
#define KEPT_USEC  (5 * USEC_PER_SEC)

static User kept[USERS_KEPT];
static size_t next_slot;

static int look_up(uid_t uid, User *u)
{
        char buffer[16384];
        struct passwd pw, *found = NULL;
        int n = SPEC_GROUPS_MAX;

        int r = getpwuid_r(uid, &pw, buffer, sizeof(buffer), &found);
        if (r != 0)
                return -r;
        if (!found)
                return -ESRCH;
        if (getgrouplist(pw.pw_name, pw.pw_gid, u->groups, &n) < 0)
                return -E2BIG;
        u->uid = uid;
        u->gid = pw.pw_gid;
        u->n_groups = (size_t)n;
        return 0;
}

int users_get(uid_t uid, usec_t now_boottime, const User **ret)
{
        assert(ret);

        for (size_t i = 0; i < USERS_KEPT; i++)
                if (kept[i].uid == uid && kept[i].known_until_boottime > now_boottime) {
                        *ret = kept + i;
                        return 0;
                }

        User *u = kept + next_slot;
        u->known_until_boottime = 0;
        int r = look_up(uid, u);
        if (r < 0)
                return r;
        u->known_until_boottime = now_boottime + KEPT_USEC;
        next_slot = (next_slot + 1) % USERS_KEPT;
        *ret = u;
        return 0;
}

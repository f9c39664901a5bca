/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The author is who made the sealed memfd, as the kernel says. Root may ask for anybody but user reeve; everybody
 * else for himself only, with what the user database gives him, and never for more than he could have by running the
 * command at a shell.
 *
 * Nothing runs as user reeve or in its group: then a compromised reeved could start nothing that it is not
 * already, and no task could read the records and outputs of others.
 *
 * The user database is asked before the fork, because keepers and children may not allocate; a lookup may block on a
 * directory server. A handful of users start most tasks, so a small ring of answers is enough; they are short-lived,
 * so that a removed group membership holds within seconds. */

#include "launcher/authorise.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/unit-property/unit-property.h"

#define USERS_KEPT 8
#define KEPT_USEC  (5 * USEC_PER_SEC)

typedef struct User {
        uid_t uid;
        gid_t gid;                     /* primary */
        gid_t groups[SPEC_GROUPS_MAX]; /* all of them, `gid` included */
        size_t n_groups;
        usec_t known_until_boottime;
} User;

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

/* *ret stays valid until the next call. -ESRCH if there is no such user; other negative errno if the database does
 * not answer. */
static int get_user(uid_t uid, usec_t now_boottime, const User **ret)
{
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

static int deny(ReeveError *reterr, const char *field, const char *text)
{
        return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, field, "%s", text);
}

static int check_not_reeve(const Launcher *l, const Spec *s, ReeveError *reterr)
{
        if (s->uid == l->reeve_uid)
                return deny(reterr, "uid", "nothing runs as the user of the registry");
        if (s->gid == l->reeve_gid)
                return deny(reterr, "gid", "nothing runs in the group of the registry");
        for (size_t i = 0; i < s->n_groups; i++)
                if (s->groups[i] == l->reeve_gid)
                        return deny(reterr, "groups", "nothing runs in the group of the registry");
        if (s->uid == (uid_t)-1 || s->gid == (gid_t)-1)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "uid", "-1 is nobody's number");
        return 0;
}

static bool has_group(const User *u, gid_t gid)
{
        for (size_t i = 0; i < u->n_groups; i++)
                if (u->groups[i] == gid)
                        return true;
        return false;
}

static int check_rlimits(const Launcher *l, const Spec *s, ReeveError *reterr)
{
        for (int i = 0; i < RLIM_NLIMITS; i++) {
                const SpecRlimit *wanted = s->rlimits + i;

                char field[32];

                if (!wanted->set || (wanted->hard <= l->rlimits[i].rlim_max && wanted->soft <= wanted->hard))
                        continue;
                snprintf(field, sizeof(field), "Limit%s", spec_rlimit_name(i) ?: "");
                return deny(reterr, field, "a resource limit may only be lowered");
        }
        return 0;
}

/* Properties of the scope: the table says what, for whom; what is not in it nobody gets. */
static int check_scope(const Spec *s, uid_t author, ReeveError *reterr)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < s->n_properties; i++)
                r = unit_property_check(s->properties[i].name, s->properties[i].value, author, reterr);
        if (r < 0 || !s->slice)
                return r;
        if (author != 0)
                return deny(reterr, "slice", "only root may choose where a scope is placed");
        if (!unit_property_slice_is_valid(s->slice))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "slice",
                                       "it is not the name of a slice");
        return 0;
}

/* The rules for everybody but root. */
static int check_own(const Launcher *l, const Spec *s, uid_t author, const User *u, ReeveError *reterr)
{
        if (s->uid != author)
                return deny(reterr, "uid", "only root may run tasks as another user");
        if (!u)
                return deny(reterr, "uid", "the user is not in the user database");
        if (s->gid != u->gid && s->attach.pid == 0) /* attach_check() compares it with the process's */
                return deny(reterr, "gid", "only root may choose another group than the primary one");
        for (size_t i = 0; i < s->n_groups; i++)
                if (!has_group(u, s->groups[i]))
                        return deny(reterr, "groups", "the user is not a member of that group");
        if (s->nice < 0)
                return deny(reterr, "Nice", "only root may raise the scheduling priority");
        if (s->has_oom_score_adjust && s->oom_score_adjust < 0)
                return deny(reterr, "OOMScoreAdjust", "only root may protect from the OOM killer");
        return check_rlimits(l, s, reterr);
}

int authorise(const Launcher *l, const Spec *s, uid_t author, const gid_t **ret_groups, size_t *ret_n_groups,
              ReeveError *reterr)
{
        const User *u = NULL;

        assert(l);
        assert(s);
        assert(ret_groups);
        assert(ret_n_groups);

        int r = get_user(s->uid, clock_boottime(clock_system()), &u);
        if (r < 0 && r != -ESRCH)
                return reeve_error_errno(reterr, r, "uid", "the user database does not answer");
        r = check_not_reeve(l, s, reterr);
        if (r < 0)
                return r;
        if (author != 0)
                r = check_own(l, s, author, u, reterr);
        if (r >= 0)
                r = check_scope(s, author, reterr);
        if (r < 0)
                return r;

        *ret_groups = s->has_groups ? s->groups : u ? u->groups : NULL;
        *ret_n_groups = s->has_groups ? s->n_groups : u ? u->n_groups : 0;
        return 0;
}

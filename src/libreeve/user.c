/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names are resolved here, where their author is; the launcher decides whether he may run things as somebody else,
 * and takes the supplementary groups from the user database itself.
 *
 * The environment is what a service of systemd gets, not the caller's: a task must mean the same whoever's shell it
 * was started from. */

#include "libreeve/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "basic/parse.h"
#include "basic/strings.h"

#define TASK_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* An entry of the database, or NULL. */
static const struct passwd *find_user(const char *user, uid_t *ret_uid)
{
        uint32_t number;

        if (user && parse_u32(user, &number) < 0) {
                const struct passwd *pw = getpwnam(user);
                if (pw)
                        *ret_uid = pw->pw_uid;
                return pw;
        }
        *ret_uid = user ? number : geteuid();
        return getpwuid(*ret_uid);
}

static int find_group(const char *group, gid_t *ret, ReeveError *reterr)
{
        uint32_t number;

        if (parse_u32(group, &number) >= 0 && number != (gid_t)-1) {
                *ret = number;
                return 0;
        }
        const struct group *gr = getgrnam(group);
        if (!gr)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "gid",
                                       "there is no group '%.100s'", group);
        *ret = gr->gr_gid;
        return 0;
}

static int set_variable(Request *q, const char *name, const char *value, ReeveError *reterr)
{
        if (!value || !*value)
                return 0;
        _cleanup_free_ char *assignment = string_printf("%s=%s", name, value);
        if (!assignment)
                return reeve_error_errno(reterr, ENOMEM, "environment", "cannot set %s", name);
        return request_set_environment(q, assignment, reterr);
}

static int set_environment(Request *q, const struct passwd *pw, bool tty, ReeveError *reterr)
{
        const struct {
                const char *name, *value;
        } variables[] = {
                { "PATH", TASK_PATH },
                { "HOME", pw ? pw->pw_dir : "/" },
                { "USER", pw ? pw->pw_name : NULL },
                { "LOGNAME", pw ? pw->pw_name : NULL },
                { "SHELL", pw ? pw->pw_shell : "/bin/sh" },
                { "LANG", getenv("LANG") },
                { "TERM", tty ? getenv("TERM") ?: "dumb" : NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(variables); i++) {
                int r = set_variable(q, variables[i].name, variables[i].value, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

int user_apply(Request *q, const char *user, const char *group, bool tty, ReeveError *reterr)
{
        uid_t uid = (uid_t)-1;

        assert(q);

        const struct passwd *pw = find_user(user, &uid);
        if (uid == (uid_t)-1)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "uid",
                                       "there is no user '%.100s'", user ?: "");
        q->spec.uid = uid;
        if (!user)
                q->spec.gid = getegid();
        else if (pw)
                q->spec.gid = pw->pw_gid;
        else if (!group)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "gid",
                                       "user %s is not in the user database, so a group must be given",
                                       user);

        int r = set_environment(q, pw, tty, reterr);
        return r < 0 || !group ? r : find_group(group, &q->spec.gid, reterr);
}

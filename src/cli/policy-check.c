/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reads policies with the very code of reeved, and needs no daemon: so a policy can be tried before it is installed, and by who may
 * not install it. Messages begin with FILE:LINE:COLUMN, as those of compilers do, for editors that jump there.
 *
 * A fault is what makes reeved refuse the file. A warning is what it takes, but what will make tasks fail on this host: a limit whose
 * controller is not in cgroup v2 here. The file may be meant for another host, so it is no fault. */

#include "cli/policy-check.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "cli/session.h"
#include "common/json/json.h"
#include "common/limit/limit.h"
#include "daemon/policy/policy.h"

typedef struct Check {
        const char *path;
        char directory[PATH_MAX]; /* in which the files lie, with the slash */
        uint32_t controllers;     /* of this host */
        json_t *warnings;         /* NULL: they are printed */
} Check;

/* None at all if there is no cgroup v2: then there are no limits. */
static uint32_t find_controllers(void)
{
        _cleanup_fd_ int fd = -EBADF;
        uint32_t mask = 0;

        return cgroup_open_mount(&fd, NULL) >= 0 && cgroup_controllers(fd, &mask) >= 0 ? mask : 0;
}

static int warn(const Check *c, const char *origin, const LimitKind *kind)
{
        _cleanup_free_ char *text = string_printf(
                        "%s%s: warning: this host cannot enforce %s, tasks that have it will not start: "
                        "cgroup v2 has no controller '%s' here",
                        c->directory, origin, kind->name, cgroup_controller_name(kind->controller));

        if (!text)
                return -ENOMEM;
        if (c->warnings)
                return json_array_append_new(c->warnings, json_string(text)) < 0 ? -ENOMEM : 0;
        fprintf(stderr, "%s\n", text);
        return 0;
}

static int look_at_limits(const Check *c, const json_t *layer)
{
        const json_t *limits = json_object_get(layer, "limits"),
                     *origins = json_object_get(layer, "origins");
        const char *name;
        json_t *value;
        int r = 0;

        json_object_foreach((json_t *)limits, name, value) {
                _cleanup_free_ char *key = string_printf("limits.%s", name);
                const char *origin = key ? json_get_string(origins, key) : NULL,
                           *text = json_string_value(value);
                const LimitKind *kind = limit_kind_find(name);

                if (origin && kind && !(text && streq(text, "infinity")) &&
                    !(c->controllers & (UINT32_C(1) << kind->controller)))
                        r |= warn(c, origin, kind);
        }
        return r;
}

/* Every layer: subsystems, their task types, cases. */
static int look_at_layers(const Check *c, const json_t *value)
{
        const char *key;
        json_t *child;
        size_t i;
        int r = json_object_get(value, "origins") ? look_at_limits(c, value) : 0;

        json_object_foreach((json_t *)value, key, child)
                r |= look_at_layers(c, child);
        if (json_is_array(value))
                json_array_foreach((json_t *)value, i, child)
                        r |= look_at_layers(c, child);
        return r;
}

static int read_policy(Check *c, Policy **ret, ReeveError *reterr)
{
        const char *slash = strrchr(c->path, '/');
        struct stat st;

        if (stat(c->path, &st) >= 0 && S_ISDIR(st.st_mode)) {
                snprintf(c->directory, sizeof(c->directory), "%s/", c->path);
                return policy_load(c->path, ret, reterr);
        }
        snprintf(c->directory, sizeof(c->directory), "%.*s", slash ? (int)(slash - c->path) + 1 : 0,
                 c->path);
        return policy_check_file(c->path, ret, reterr);
}

static int check_one(Check *c, json_t *results)
{
        _cleanup_(policy_unrefp) Policy *p = NULL;
        _cleanup_json_ json_t *all = NULL, *warnings = results ? json_array() : NULL;
        ReeveError e = REEVE_ERROR_NULL;
        int status = 0;

        bool ok = read_policy(c, &p, &e) >= 0;
        c->warnings = warnings;
        if (ok && (!(all = policy_to_json(p)) || look_at_layers(c, all) < 0))
                status = 1;
        if (results) {
                json_t *one = json_pack("{ss sb ss* ss* sO}", "file", c->path, "ok", ok, "message",
                                        ok ? NULL : e.text, "field", !ok && e.field[0] ? e.field : NULL,
                                        "warnings", warnings);
                if (json_array_append_new(results, one) < 0)
                        status = 1;
        } else if (ok)
                printf("%s: ok\n", c->path);
        else
                fprintf(stderr, "%s\n", e.text);
        return ok ? status : 1;
}

int policy_check(const char **paths, size_t n, JsonMode json)
{
        _cleanup_json_ json_t *results = json != JSON_MODE_OFF ? json_array() : NULL;
        ReeveError e = REEVE_ERROR_NULL;
        int status = 0;

        assert(paths || n == 0);

        if (n == 0) {
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "check",
                                "which file, or directory of files?");
                return session_error(&e);
        }
        Check c = { .controllers = find_controllers() };
        for (size_t i = 0; i < n; i++) {
                c.path = paths[i];
                status |= check_one(&c, results);
        }
        if (results) {
                int printed = json_print(json, results);
                return printed ?: status;
        }
        return status;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Paths, made of one row for each thing an instance keeps: the table in the header is this table.
 *
 * A root is resolved once, so that two names of one folder are one instance, and what is derived from it (the prefix of
 * cgroups and units) is the same in every program and at every start. A path that does not fit is an error and is never
 * cut: half a path could be that of somebody else. Nothing is created here, and nothing is opened. */

#include "common/instance.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct {
        const char *system;  /* absolute */
        const char *private; /* below the root */
} places[_INSTANCE_PATH_MAX] = {
        [INSTANCE_SOCKET] = { "/run/reeve/io.reeve.Registry", "/io.reeve.Registry" },
        [INSTANCE_LAUNCHER_SOCKET] = { "/run/reeve/launcher", "/launcher" },
        [INSTANCE_STEPS_SOCKET] = { "/run/reeve/launcher-steps", "/launcher-steps" },
        [INSTANCE_RECORDS] = { "/run/reeve/tasks", "/tasks" },
        [INSTANCE_STATE] = { "/var/lib/reeve", "" },
        [INSTANCE_DATABASE] = { "/var/lib/reeve/registry.db", "/registry.db" },
        [INSTANCE_LOG_KEY] = { "/var/lib/reeve/log.key", "/log.key" },
        [INSTANCE_OUTPUT] = { "/var/lib/reeve/output", "/output" },
        [INSTANCE_BACKUP] = { "/var/lib/reeve/backup", "/backup" },
        [INSTANCE_LINE_LOG] = { "/var/log/reeve/tasks.log", "/tasks.log" },
        [INSTANCE_LAUNCHER_STATE] = { "/var/lib/reeve-launcher", "/launcher-state" },
        [INSTANCE_SETTINGS] = { "/etc/reeve/reeved.conf.d", "/reeved.conf.d" },
        [INSTANCE_POLICY] = { "/etc/reeve/policy.d", "/policy.d" },
        [INSTANCE_CHECKS] = { "/etc/reeve/checks", "/checks" },
        [INSTANCE_HOOKS] = { "/etc/reeve/hooks", "/hooks" },
        [INSTANCE_REEVED_PID] = { "/run/reeve/reeved.pid", "/reeved.pid" },
        [INSTANCE_LAUNCHER_PID] = { "/run/reeve/reeve-launcher.pid", "/reeve-launcher.pid" },
};

static bool prefix_is_valid(const char *prefix)
{
        size_t n = strspn(prefix, "abcdefghijklmnopqrstuvwxyz0123456789-");
        return n >= 1 && n <= INSTANCE_PREFIX_MAX && prefix[n] == '\0' && prefix[0] != '-';
}

static uint32_t fnv1a(const char *text)
{
        uint32_t h = UINT32_C(2166136261);
        for (; *text; text++)
                h = (h ^ (unsigned char)*text) * UINT32_C(16777619);
        return h;
}

/* The directory that `root` means, in full. */
static int resolve(const char *root, char ret[static PATH_MAX], ReeveError *reterr)
{
        struct stat st;

        if (root[0] != '/')
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "root",
                                       "'%s' is not an absolute path", root);
        if (!realpath(root, ret) || stat(ret, &st) < 0)
                return reeve_error_errno(reterr, errno, "root", "cannot resolve '%s'", root);
        if (!S_ISDIR(st.st_mode))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "root",
                                       "'%s' is not a directory", root);
        return 0;
}

int instance_init(Instance *i, const char *root, const char *prefix, ReeveError *reterr)
{
        char resolved[PATH_MAX];

        assert(i);

        if (prefix && !prefix_is_valid(prefix))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "prefix",
                                       "'%s' is not 1 to %d characters of a-z, 0-9 and -", prefix,
                                       INSTANCE_PREFIX_MAX);

        *i = (Instance){ 0 };
        strcpy(i->prefix, prefix ?: "reeve");
        if (!root)
                return 0;

        int r = resolve(root, resolved, reterr);
        if (r < 0)
                return r;
        if (strcmp(resolved, "/") == 0)
                return 0;
        /* The longest name below must still fit, in a path and in a socket address. */
        if (strlen(resolved) > 80)
                return reeve_error_set(
                                reterr, REEVE_ERROR_LIMIT_EXCEEDED, "root",
                                "'%s' is longer than 80 characters, a socket below it could not be named",
                                resolved);
        strcpy(i->root, resolved);
        if (!prefix)
                snprintf(i->prefix, sizeof(i->prefix), "reeve-%08x", fnv1a(resolved));
        return 0;
}

int instance_path(const Instance *i, InstancePath which, char *ret, size_t size)
{
        assert(i);
        assert(which >= 0 && which < _INSTANCE_PATH_MAX);
        assert(ret);

        int n = i->root[0] ? snprintf(ret, size, "%s%s", i->root, places[which].private)
                           : snprintf(ret, size, "%s", places[which].system);
        return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

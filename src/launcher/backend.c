/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where tasks live: the best that the host has, unless the administrator wants less.
 *
 *     systemd is PID 1, and cgroup2 is there    the pool in a scope, and backend scope for tasks that ask
 *     only cgroup2, and it can be written       the pool in a directory of our own
 *     neither                                   backend process
 *
 * A cgroup that the administrator names is delegated to us and used as it is. */

#include <systemd/sd-daemon.h>

#include "basic/log.h"
#include "basic/strings.h"
#include "launcher/launcher.h"
#include "launcher/systemd.h"

static int find_systemd(Launcher *l)
{
        if (sd_booted() <= 0)
                return 0;
        int r = systemd_root(l->proc_fd, l->systemd_root, sizeof(l->systemd_root));
        return r < 0 ? r : systemd_new(l->event, l->proc_fd, SYSTEMD_SOCKET, &l->systemd);
}

static int open_pool(Launcher *l, const char *path, ReeveError *reterr)
{
        int r = find_systemd(l);
        if (r < 0)
                log_warning_errno(r, "there will be no scopes");
        if (l->systemd && !path) {
                r = pool_scope_open(l, reterr);
                if (r >= 0)
                        return 0;
                log_warning("a directory is the pool: %s", reterr->text);
                pool_scope_close(l);
                pool_close(&l->pool);
        }
        return pool_open(&l->pool, l->instance.prefix, path, reterr);
}

int backend_choose(Launcher *l, const char *pool, const char *backend, ReeveError *reterr)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(l);
        assert(backend);

        if (!streq(backend, "auto") && !streq(backend, "cgroup") && !streq(backend, "process"))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "backend",
                                       "there is no backend '%s'", backend);
        l->backend = RECORD_BACKEND_PROCESS;
        if (streq(backend, "process"))
                return 0;
        int r = open_pool(l, pool, &e);
        if (r >= 0)
                l->backend = RECORD_BACKEND_CGROUP;
        else if (streq(backend, "auto")) {
                log_notice("backend process: %s", e.text);
                l->systemd = systemd_free(l->systemd);
                r = 0;
        }
        if (r < 0 && reterr)
                *reterr = e;
        return r;
}

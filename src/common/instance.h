/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where an instance of reeve keeps its things. The system's instance has root "/" and the usual places below
 * /run, /var/lib and /etc; a private one (`./dev up DIR`) has everything directly below DIR. Instances differ in
 * root and prefix, and never meet.
 *
 *                       root /                                 root DIR
 *     varlink socket    /run/reeve/io.reeve.Registry           DIR/io.reeve.Registry
 *     launcher socket   /run/reeve/launcher                    DIR/launcher
 *       for steps       /run/reeve/launcher-steps              DIR/launcher-steps
 *     records           /run/reeve/tasks                       DIR/tasks
 *     state             /var/lib/reeve                         DIR
 *     database          /var/lib/reeve/registry.db             DIR/registry.db
 *     key of the log    /var/lib/reeve/log.key                 DIR/log.key
 *     output            /var/lib/reeve/output                  DIR/output
 *     backups           /var/lib/reeve/backup                  DIR/backup
 *     line log          /var/log/reeve/tasks.log               DIR/tasks.log
 *     launcher's state  /var/lib/reeve-launcher                DIR/launcher-state
 *     settings          /etc/reeve/reeved.conf.d               DIR/reeved.conf.d
 *     policy            /etc/reeve/policy.d                    DIR/policy.d
 *     checks, hooks     /etc/reeve/{checks,hooks}              DIR/{checks,hooks}
 *     pid files         /run/reeve/{reeved,reeve-launcher}.pid DIR/{reeved,reeve-launcher}.pid
 *     cgroup pool       <mount>/reeve.pool                     <mount>/reeve-<hash>.pool
 *       under systemd   .../reeve.slice/reeve-pool.scope       .../reeve-<hash>.slice/reeve-<hash>-pool.scope
 */

#include <limits.h>

#include "basic/error.h"

#define INSTANCE_PREFIX_MAX 32

typedef struct Instance {
        char root[PATH_MAX];                  /* absolute, no trailing slash; "" for "/" */
        char prefix[INSTANCE_PREFIX_MAX + 1]; /* "reeve" or "reeve-<8 hex digits>" */
} Instance;

typedef enum InstancePath {
        INSTANCE_SOCKET,
        INSTANCE_LAUNCHER_SOCKET,
        INSTANCE_STEPS_SOCKET, /* of the launcher's process for steps of ladders */
        INSTANCE_RECORDS,
        INSTANCE_STATE,
        INSTANCE_DATABASE,
        INSTANCE_LOG_KEY,
        INSTANCE_OUTPUT,
        INSTANCE_BACKUP,
        INSTANCE_LINE_LOG,
        INSTANCE_LAUNCHER_STATE,
        INSTANCE_SETTINGS,
        INSTANCE_POLICY,
        INSTANCE_CHECKS,
        INSTANCE_HOOKS,
        INSTANCE_REEVED_PID,
        INSTANCE_LAUNCHER_PID,
        _INSTANCE_PATH_MAX,
} InstancePath;

/* `root` NULL or "/" (however it is written) is the system's instance. Any other must be an absolute path of an
 * existing directory; it is resolved (realpath), and the prefix is derived from it by FNV-1a, unless `prefix` is
 * given (1 to 32 characters of [a-z0-9-]). */
int instance_init(Instance *i, const char *root, const char *prefix, ReeveError *reterr);

/* Writes the path into the caller's buffer; -ENAMETOOLONG if it does not fit. */
int instance_path(const Instance *i, InstancePath which, char *ret, size_t size);

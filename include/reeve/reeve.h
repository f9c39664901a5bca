/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* libreeve: the registry of tasks, from C. Here: connections, calls, and running commands. Beside it: reeve/query.h, to ask
 * about tasks, hear of them and act upon them; reeve/report.h, to report work of one's own. docs/libreeve.md has examples.
 *
 * A ReeveConnection is one connection to reeved. It is used by one thread at a time, and by one call at a time:
 * while a stream runs on it, make another one. Parameters and results are JSON objects (jansson) of the interface
 * io.reeve.Registry, whose definition documents every method and field.
 *
 *     ReeveConnection *c;
 *     ReeveError e;
 *     json_t *task;
 *     if (reeve_connect(NULL, &c, &e) < 0 ||
 *         reeve_run(c, &(ReeveRun){ .argv = (char *[]){ "/bin/true", NULL } }, NULL, &task, &e) < 0)
 *             errx(1, "%s", e.text);
 *
 * Functions return 0 (or more, where said) or a negative errno, and then fill *reterr unless it is NULL. The ABI is
 * NOT promised before 1.0: a version that changes it incompatibly has another soname. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <reeve/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define REEVE_PUBLIC __attribute__((visibility("default")))

#define REEVE_USEC_INFINITY UINT64_MAX

typedef struct ReeveConnection ReeveConnection;

/* The socket that is used when none is named: $REEVE_SOCKET, else that of the system's instance. The result is static
 * or belongs to the environment. */
REEVE_PUBLIC const char *reeve_socket_path(void);

/* Connects to the socket at `path` (NULL: reeve_socket_path()). Fails with Unavailable if nobody listens there. */
REEVE_PUBLIC int reeve_connect(const char *path, ReeveConnection **ret, ReeveError *reterr);

/* Gives the connection up and makes a new one to the same socket; what was under way on it is forgotten. Tries for up
 * to `patience_usec` (0: once). On failure the connection stays broken, and this may be called again. */
REEVE_PUBLIC int reeve_reconnect(ReeveConnection *c, uint64_t patience_usec, ReeveError *reterr);

/* Disconnects and frees. Accepts NULL. Returns NULL. */
REEVE_PUBLIC ReeveConnection *reeve_disconnect(ReeveConnection *c);

/* Calls a method ("Get", or with its interface "org.varlink.service.GetInfo") and waits for its reply. `parameters`
 * is borrowed and may be NULL; *ret (may be NULL) is the caller's. An error reply fills *reterr with its code, field
 * and message. -ECONNRESET: the connection broke, and whether the call was carried out is unknown. */
REEVE_PUBLIC int reeve_call(ReeveConnection *c, const char *method, json_t *parameters, json_t **ret,
                            ReeveError *reterr);

/* Sends a call without waiting for its replies, which reeve_next() gives. With `more`, there may be several. */
REEVE_PUBLIC int reeve_send(ReeveConnection *c, const char *method, json_t *parameters, bool more,
                            ReeveError *reterr);

/* The next reply of what was sent: 1 and *ret (the caller's); 0 if none came within the timeout (0: what is there,
 * REEVE_USEC_INFINITY: wait). *ret_final (may be NULL) says that it was the last one. Errors as reeve_call(). */
REEVE_PUBLIC int reeve_next(ReeveConnection *c, uint64_t timeout_usec, json_t **ret, bool *ret_final,
                            ReeveError *reterr);

/* For poll loops: wait for these poll(2) events on this descriptor, then call reeve_next() with timeout 0 until it
 * returns 0. The events change with reeve_send() and reeve_next(), the descriptor with reeve_reconnect(). */
REEVE_PUBLIC int reeve_fd(const ReeveConnection *c);
REEVE_PUBLIC short reeve_events(const ReeveConnection *c);

/* Values for ReeveRun.stdio besides a descriptor number plus REEVE_STDIO_FD(0). */
#define REEVE_STDIO_DEFAULT 0 /* 0: null; 1 and 2: the task's output file */
#define REEVE_STDIO_NULL    1
#define REEVE_STDIO_OUTPUT  2 /* not for 0 */
#define REEVE_STDIO_JOURNAL \
        3 /* not for 0: to journald, with the task's id as identifier; Unavailable without one */
#define REEVE_STDIO_FD(fd) (4 + (fd))

/* How often a command may be run, by what its author seals, if he does not say. */
#define REEVE_ATTEMPTS_DEFAULT 10

/* What is to be run. Zero and NULL are the defaults; everything is borrowed during the call. */
typedef struct ReeveRun {
        char *const *argv; /* NULL-terminated, at least one; argv[0] is searched in $PATH of the caller */

        const char *task_id;   /* NULL: reeve_run() makes one that sorts by time */
        const char *subsystem; /* NULL: "user" */
        const char *task_type; /* NULL: the last part of the command's name, with other characters as '-' */
        const char *title;     /* public; NULL: the command's name */
        const char *description; /* NULL: none */
        const char *created_by;  /* NULL: none; a label, nothing is derived from it */
        int priority;            /* 1 to 10; 0: that of the registry, 5 */
        const char *backend; /* "cgroup", "scope", "process"; NULL: "scope" if a property or `slice` wants a unit of
                                    systemd, else the best that the host has */
        const char *slice; /* "NAME.slice", for the scope; NULL: that of the subsystem. Root's to choose */
        const char *sla; /* deadline: "1h", "2026-01-31 12:00", "forecast_p95 * 2"; NULL: that of the policy */
        json_t *metadata; /* an object, or NULL */
        unsigned attempts; /* how often it is to be tried, as far as the policy allows, and never more often; 0: as
                                  the policy says, and never more often than REEVE_ATTEMPTS_DEFAULT. With
                                  descriptors of the caller's: once */
        const char *const *after; /* NULL-terminated ids: it starts when these have completed */
        const char *unique; /* key that no other open task of the caller's in this subsystem has: AlreadyExists */
        bool join;          /* instead of that: the answer is the task that has the key */
        bool hold;          /* it does not start before Release */

        const char *user;  /* name or number; NULL: the caller */
        const char *group; /* name or number; NULL: the primary one of `user`, or the caller's */
        const char *cwd;   /* made absolute; NULL: the caller's */
        const char *const *environment; /* NULL-terminated: "NAME=VALUE", or "NAME" for the caller's value */
        const char *const *properties;  /* NULL-terminated: "MemoryMax=512M", as systemd.resource-control(5)
                                           and systemd.exec(5) write them; see reeve_property_name() */
        const char *const *verify; /* NULL-terminated: shell commands, all of which must exit with 0 when the
                                           task has; they run as the task does, with its environment */
        int stdio[3];              /* REEVE_STDIO_* */
        bool tty; /* descriptor 0 is a terminal, to become the controlling one of the task */
} ReeveRun;

#define REEVE_TASK_ID_SIZE 129

/* Runs a command: builds and seals its specification, passes the descriptors, and waits until the command was
 * executed (or could not be: ExecFailed), or has to wait: then the task is pending. `ret_id` (may be NULL) gets the task's id
 * before anything is sent, so that it is known whatever happens; with `join` it is that of the task which has the key in
 * the end. *ret_task (may be NULL) is the caller's.
 *
 * The environment of the task is a clean one: PATH (the usual directories), HOME, USER, LOGNAME and SHELL of the user,
 * LANG of the caller, TERM of the caller if `tty`; then Environment= properties, then `environment`. Umask is 0022.
 *
 * When the connection breaks while the registry is being replaced, the request is made again for up to ten seconds:
 * it carries its id, so that it is the same task. */
REEVE_PUBLIC int reeve_run(ReeveConnection *c, const ReeveRun *run, char ret_id[REEVE_TASK_ID_SIZE],
                           json_t **ret_task, ReeveError *reterr);

/* A process that runs already, to become a task. As for ReeveRun, zero and NULL are the defaults. */
typedef struct ReeveAttach {
        pid_t pid;
        bool children; /* with the processes below it that are its user's and in the same cgroup */

        const char *task_id, *subsystem, *task_type, *title, *description, *created_by;
        int priority;
        const char *sla;
        json_t *metadata;
        const char *const *properties; /* limits of its new cgroup, and TimeoutStopSec */
} ReeveAttach;

/* Moves a process of the caller's own (root: of anybody's) into a cgroup of its own and has it watched and accounted for from
 * then on; its command line is the task's. Which processes cannot be attached is PermissionDenied with the reason, field
 * "pid"; AlreadyFinished: it has ended. The rest as reeve_run(). */
REEVE_PUBLIC int reeve_attach(ReeveConnection *c, const ReeveAttach *attach, char ret_id[REEVE_TASK_ID_SIZE],
                              json_t **ret_task, ReeveError *reterr);

/* Has a process join a task that is reported (reeve_start()) and active, of the user as whom the process runs. It is moved into a
 * cgroup of the task's, and what is counted there replaces what was reported; its end is no end of the task. Of `attach`
 * pid, children, task_id (which must be there) and properties are looked at. AlreadyExists: another process has joined it. The
 * rest as reeve_attach(). */
REEVE_PUBLIC int reeve_attach_to(ReeveConnection *c, const ReeveAttach *attach, json_t **ret_task,
                                 ReeveError *reterr);

/* Waits until a task has ended and gives it as it then is (*ret_task, the caller's, may be NULL). When the connection
 * breaks, tries for up to `patience_usec` to get another. */
REEVE_PUBLIC int reeve_wait(ReeveConnection *c, const char *task_id, uint64_t patience_usec,
                            json_t **ret_task, ReeveError *reterr);

/* Names of the properties that ReeveRun.properties knows, in alphabetical order; NULL behind the last. */
REEVE_PUBLIC const char *reeve_property_name(size_t index);

/* Copies the registry's database, consistent, while it is used, into an empty file that is open for writing, and syncs it:
 * what it takes to call Backup with `pass`. Root and group reeve-admin only. *ret_bytes (may be NULL): its size. */
REEVE_PUBLIC int reeve_backup(ReeveConnection *c, int fd, int64_t *ret_bytes, ReeveError *reterr);

#ifdef __cplusplus
}
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* reeved's side of io.reeve.Launcher1 (common/launcher-protocol.h): asynchronous calls on the loop thread, one
 * connection that is made again whenever it breaks. A call that was out when it broke ends with Unavailable; what
 * became of it must then be read from the records. */

#include <jansson.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "basic/error.h"
#include "basic/time.h"
#include "common/launcher-protocol.h"
#include "common/net/net.h"
#include "common/usage/usage.h"

typedef struct LauncherClient LauncherClient;

typedef struct LauncherClientEvents {
        void (*on_connected)(void *userdata);
        void (*on_disconnected)(void *userdata);
        void *userdata;
} LauncherClientEvents;

/* Starts connecting at once; on_connected comes later, from the loop. `path` is copied. */
int launcher_client_new(sd_event *event, const char *path, const LauncherClientEvents *events,
                        LauncherClient **ret);
/* Calls that are out are dropped without their callbacks. */
LauncherClient *launcher_client_free(LauncherClient *c);
DEFINE_CLEANUP_FUNC(LauncherClient *, launcher_client_free)

/* False already in the callbacks that a broken connection ends, before on_disconnected: what they were told of was not
 * decided by the launcher. */
bool launcher_client_is_connected(const LauncherClient *c);

/* Every call below returns 0 when it was sent, and then its callback comes exactly once; or a negative errno with *reterr
 * filled (Unavailable without a connection), and no callback. `error` is NULL on success, borrowed for the call. */

typedef void (*launcher_ticket_t)(const ReeveError *error, const uint8_t ticket[LAUNCHER_TICKET_SIZE],
                                  void *userdata);
int launcher_client_authorize(LauncherClient *c, int spec_fd, launcher_ticket_t callback, void *userdata,
                              ReeveError *reterr);

typedef struct LaunchRequest {
        int spec_fd;           /* borrowed */
        const uint8_t *ticket; /* LAUNCHER_TICKET_SIZE bytes */
        unsigned attempt;
        const char *backend;      /* "" : the best that the host has */
        const char *subsystem;    /* of the task */
        usec_t deadline_boottime; /* backstop; USEC_INFINITY: none */
        usec_t grace_usec;
        uint64_t output_cap_bytes;
        unsigned priority;                /* 1 to 10 */
        const struct PolicyLimit *limits; /* that restrict further; borrowed */
        size_t n_limits;
        const int *stdio_fds; /* borrowed */
        size_t n_stdio_fds;
        char *const *environment; /* NULL-terminated REEVE_...=...; may be NULL */
        bool attach;              /* Adopt: the specification names a process that runs */
} LaunchRequest;

typedef struct LaunchResult {
        pid_t pid;
        usec_t started_realtime, started_boottime;
        const char *cgroup; /* borrowed; "" without one */
        NetRef net;         /* of its network counters */
} LaunchResult;

typedef void (*launcher_launched_t)(const ReeveError *error, const LaunchResult *result, void *userdata);
int launcher_client_launch(LauncherClient *c, const LaunchRequest *request, launcher_launched_t callback,
                           void *userdata, ReeveError *reterr);

/* Check, or with `hook` Hook. */
typedef struct ProgramRequest {
        LaunchRequest launch; /* a hook has no specification and no ticket; stdio_fds: standard input alone, or none */
        bool hook;
        const char *name;  /* of the record, with launch.attempt */
        unsigned authored; /* of a check: the author's how manieth command; then argv is empty */
        char *const *argv; /* NULL-terminated */
} ProgramRequest;

int launcher_client_program(LauncherClient *c, const ProgramRequest *request, launcher_launched_t callback,
                            void *userdata, ReeveError *reterr);

typedef struct LauncherAct {
        const char *method; /* "Signal", "Kill", "Freeze" or "Thaw" */
        const char *task_id;
        unsigned attempt;
        int signal; /* of "Signal" */
        bool whole; /* to all processes, not the main one alone */
} LauncherAct;

/* `callback` may be NULL where another event is the answer that counts: a failure is then in the log, for debugging. */
typedef void (*launcher_done_t)(const ReeveError *error, void *userdata);
int launcher_client_act(LauncherClient *c, const LauncherAct *act, launcher_done_t callback, void *userdata,
                        ReeveError *reterr);
/* "Kill", and nobody waits. */
int launcher_client_kill(LauncherClient *c, const char *task_id, unsigned attempt);

/* Does step `number` of the task's ladder, at most once whoever asks how often. `act` is "signal", "freeze" or "kill". `again`: it
 * had been begun before, and but for a kill nothing was done now. The times are those before and after the act; all is 0 on error. */
typedef struct LauncherStepResult {
        bool again;
        usec_t begun_boottime, done_boottime;
} LauncherStepResult;
typedef void (*launcher_step_t)(const ReeveError *error, const LauncherStepResult *result, void *userdata);
typedef struct LauncherStep {
        const char *task_id;
        unsigned attempt, number;
        const char *act;
        int signal; /* of "signal" */
} LauncherStep;
int launcher_client_step(LauncherClient *c, const LauncherStep *step, launcher_step_t callback,
                         void *userdata, ReeveError *reterr);
/* What a running attempt is at: {pid, state, comm, wchan, descriptors, paths} of each process; what is unknown or not for the task's
 * owner is "" or left out. */
typedef void (*launcher_inspected_t)(const ReeveError *error, json_t *processes, void *userdata);
int launcher_client_inspect(LauncherClient *c, const char *task_id, unsigned attempt,
                            launcher_inspected_t callback, void *userdata, ReeveError *reterr);
/* Sets the backstop of a running attempt: the keeper kills it then, whoever else lives. Not answered. */
int launcher_client_set_deadline(LauncherClient *c, const char *task_id, unsigned attempt,
                                 usec_t deadline_boottime);

/* Removes a record, some time soon: calls of one turn of the loop are sent together, without an answer. Lost with the
 * connection: the next scan of the records finds what is left. */
int launcher_client_forget(LauncherClient *c, const char *task_id, unsigned attempt);

typedef struct LauncherUsage {
        const char *task_id; /* borrowed */
        unsigned attempt;
        Usage usage; /* source procfs */
} LauncherUsage;

typedef void (*launcher_usage_t)(const LauncherUsage *usages, size_t n, void *userdata);
/* Reads by procfs what a tick of the sampler wants; `n` tasks in parallel arrays of ids and attempts. Nothing is called
 * back on failure: the next tick asks again. */
int launcher_client_read_usage(LauncherClient *c, const char *const *task_ids, const unsigned *attempts,
                               size_t n, launcher_usage_t callback, void *userdata);

/* What the launcher says of this host; valid during the callback. */
typedef struct LauncherHost {
        const char *backend;  /* "cgroup" or "process": the best that there is */
        const char *pool;     /* relative to the cgroup2 mount; "" without one */
        uint32_t controllers; /* that tasks have: 1 << CgroupController */
} LauncherHost;
/* `host` is NULL on error. */
typedef void (*launcher_described_t)(const ReeveError *error, const LauncherHost *host, void *userdata);
int launcher_client_describe(LauncherClient *c, launcher_described_t callback, void *userdata,
                             ReeveError *reterr);

/* The map with the network counters of tasks: `map_fd` is for reading only and borrowed, valid during the callback; with
 * an error it is -EBADF, and Unavailable's text is the reason why traffic is not counted. */
typedef void (*launcher_network_t)(const ReeveError *error, int map_fd, uint32_t map_id, void *userdata);
int launcher_client_network(LauncherClient *c, launcher_network_t callback, void *userdata,
                            ReeveError *reterr);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the parts of the launcher share: the places that it opened once at start, and the attempts that it watches. */

#include <sys/resource.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "basic/error.h"
#include "basic/list.h"
#include "common/instance.h"
#include "common/launcher-protocol.h"
#include "common/record/record.h"
#include "launcher/desk.h"
#include "launcher/members.h"
#include "launcher/net.h"
#include "launcher/pool.h"
#include "launcher/pool-scope.h"
#include "launcher/ticket.h"

#define LAUNCHER_BUCKETS 1024

struct Systemd;

typedef struct Launcher {
        Instance instance;
        uid_t reeve_uid, hook_uid; /* of user reeve-hook; -1: there is none */
        gid_t reeve_gid, hook_gid;
        RecordBackend backend;   /* the best that this host has */
        Pool pool;               /* of backend cgroup */
        PoolScope pool_scope;    /* its home, where there is systemd */
        struct Systemd *systemd; /* NULL: there are no scopes here */
        char systemd_root[256];  /* of systemd's tree, relative to the cgroup2 mount */
        NetCounters net;
        bool only_steps; /* this is the process for steps of ladders */
        const TicketKey *key;
        uint8_t boot_id[16];
        struct rlimit rlimits[RLIM_NLIMITS]; /* what tasks inherit */
        int oom_score_adj;                   /* likewise */
        usec_t settle_usec;                  /* see Keeper */
        char *heap;                          /* likewise */
        int records_fd, output_fd, state_fd, spent_fd, proc_fd, null_fd, pid_fd, listen_fd;
        sd_event *event;
        ListLink watched[LAUNCHER_BUCKETS]; /* by keeper pid */
        DeskSlot desks[DESKS];
        uint64_t n_hired;
} Launcher;

/* ---- setup.c ---- */

/* User, directories, lock, key, clean inheritance. */
int launcher_setup(Launcher *l, const char *user, ReeveError *reterr);
void launcher_done(Launcher *l);
/* What a deadline demands is not to wait for a CPU: raises the priority of this process, not of what it forks. */
void launcher_prefer(void);

/* ---- steps.c ---- */

/* Starts the process that does the steps of ladders. Without it the launcher does them. */
void steps_start(Launcher *l);

/* ---- backend.c ---- */

/* Finds out where tasks can live on this host, and opens the pool; the event loop must be there. `pool` is the cgroup to
 * use, or NULL; `backend` is "auto", "cgroup" or "process". */
int backend_choose(Launcher *l, const char *pool, const char *backend, ReeveError *reterr);

/* ---- server.c ---- */

/* Listens; each connection of user reeve or root is served. */
int server_start(Launcher *l, ReeveError *reterr);

/* Answers a call with an error of the error table. */
int server_reply_error(sd_bus_message *call, const ReeveError *e);

/* ---- launch.c, program.c, control.c: the methods. Each answers its call, now or later, and fails only for lack of
 * memory or a connection that is gone. ---- */

int method_authorize(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int method_launch(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int method_adopt(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int method_check(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int method_hook(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int method_act(sd_bus_message *m, void *userdata, sd_bus_error *reterr);  /* on one attempt that runs */
int method_step(sd_bus_message *m, void *userdata, sd_bus_error *reterr); /* of its ladder */
int method_read_usage(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int method_inspect(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int method_forget(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int method_describe(sd_bus_message *m, void *userdata, sd_bus_error *reterr);
int method_network(sd_bus_message *m, void *userdata, sd_bus_error *reterr);

/* ---- watch.c: keepers, from the fork to the account ---- */

/* Watches the keeper `pid` of record `name`, a child of ours. `call` is the open Launch, answered when `report_fd`
 * (taken) tells how exec went, with what `record` (its claimed fields; not kept) says. */
int watch_launch(Launcher *l, pid_t pid, const char *name, const Record *record, sd_bus_message *call,
                 int report_fd);

/* The keeper has done its task, and may be given another. */
void watch_done(Launcher *l, pid_t pid);

/* The same for an adopting keeper. `task_fd` (taken, may be -EBADF) is a pidfd of the main process, kept for the next
 * one that must adopt it: who opens it later may find a status that nobody tells any more. */
int watch_adopting(Launcher *l, pid_t pid, const char *name, int task_fd);

/* Keeps a pidfd (taken, may be -EBADF) of the main process that the keeper `pid` watches, as above. */
void watch_keep_task(Launcher *l, pid_t pid, int task_fd);

/* Why the keeper `pid`, which is going to end without having started its task, may not: the answer to its Launch. */
void watch_refuse(Launcher *l, pid_t pid, const ReeveError *error);

/* Watches a keeper of an earlier launcher. `task_fd` as above. */
int watch_stranger(Launcher *l, const char *name, pid_t pid, uint64_t start, int task_fd);

/* Looks at the record again after a while. `task_fd` as above. */
int watch_again(Launcher *l, const char *name, usec_t after_usec, int task_fd);

/* Reaps what has ended; on SIGCHLD. */
int watch_on_sigchld(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata);

/* ---- recover.c ---- */

/* Brings everything that an earlier launcher left into order; at start. */
void recover_all(Launcher *l);

/* What is to be done about a record whose keeper is gone: undone if it never ran, adopted if it runs. `task_fd`
 * (taken) is a pidfd of its main process, -EBADF if nobody kept one. 1 if the attempt never ran, 0 otherwise. */
int recover_record(Launcher *l, const char *name, int task_fd);

/* Removes what is left of an attempt that has ended in the cgroup tree, of a scope somewhat later. */
void recover_remove_leaf(Launcher *l, const Record *r);

/* Takes back a claimed attempt: spent file, leaf, record. */
void recover_undo(Launcher *l, const Record *r, const char *name);

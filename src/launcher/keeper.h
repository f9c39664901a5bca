/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The keeper: one process for each running attempt, forked by the launcher. It needs nobody else alive. */

#include "common/record/record.h"
#include "launcher/child.h"
#include "launcher/members.h"

/* What a keeper works with; filled by the launcher before the fork. Descriptors are borrowed (the fork copies
 * them), -EBADF where there is none. */
typedef struct Desk Desk;

typedef struct Keeper {
        Record *record;
        int record_fd; /* holds the lock */
        int mount_fd;  /* of cgroup2; record->cgroup is relative to it */
        int leaf_fd;   /* of backend scope: opened by the keeper itself */
        int go_fd;     /* backend scope: says when the scope is there */
        int output_fd;
        int proc_fd;
        int net_fd;           /* map of the network counters */
        uint32_t controllers; /* of the leaf: 1 << CgroupController */
        bool is_in_unit;      /* systemd may stop what the leaf is in */
        usec_t settle_usec;   /* between two reads of the final counters */
        char *heap;           /* where the launcher's begins: a keeper drops its copy */
        const Child *child;   /* NULL: the task runs already, it is adopted or attached */
        Desk *desk;           /* where the next task is found (desk.h); NULL: this one is the last */
        int desk_fd;
        bool seasoned; /* it has had another task before */

        /* without a child only */
        int report_fd;     /* write end of the exec pipe for one that is to be attached, else -EBADF */
        int task_fd;       /* pidfd of the main process, or -EBADF: it is gone */
        pid_t task_parent; /* the launcher, if it will reap the main process and write its status; else 0 */
} Keeper;

/* Exit status of a keeper that could not even start the task; 0 is "account taken". */
#define KEEPER_EXIT_NOTHING_RAN 3

/* Of a keeper. Not -1000: the kernel must have somebody to kill at last. */
#define KEEPER_OOM_SCORE_ADJ (-999)

/* Time that leftovers have between TERM and KILL when nobody says otherwise. */
#define KEEPER_GRACE_DEFAULT_USEC (5 * USEC_PER_SEC)

/* Runs in the forked process and never returns. */
_noreturn_ void keeper_run(Keeper *k);

/* clone3() into a cgroup, or a plain fork if it is negative. As fork(); negative errno. */
pid_t keeper_clone(int cgroup_fd);

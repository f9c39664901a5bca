/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One start on its way, from the message to the keeper: of a task (launch.c), of a check or a hook (program.c). They
 * differ in who says what is run; where it runs, under which limits, and what is known of it afterwards is the same. */

#include "launcher/child.h"
#include "launcher/launcher.h"
#include "launcher/limits.h"
#include "launcher/request.h"

typedef struct Launch {
        Launcher *l;
        Request request;
        char *text; /* of the specification */
        Spec spec;
        Ticket ticket;
        bool spends;    /* the attempt of the ticket: a task does, a program does not */
        const char *id; /* the record's, with request.attempt */
        RecordBackend backend;
        LimitSettings *limits;
        const char **env;
        char name[TASK_ATTEMPT_NAME_SIZE];
        char env_task[TASK_ID_MAX + 32], env_attempt[32];
        Child child;
        Record *record;
        int record_fd, leaf_fd, output_fd, report_read_fd, report_write_fd;
        int task_fd;                 /* pidfd of a process that is to be attached, or -EBADF */
        int go_read_fd, go_write_fd; /* backend scope: between us and the keeper */
} Launch;

/* Everything that can be refused without having done anything. */
typedef int (*launch_prepare_t)(Launch *x, sd_bus_message *m, ReeveError *reterr);

/* Prepares, claims, makes the place, forks the keeper; answers the call, now or when exec succeeded or failed. */
int launch_carry_out(Launcher *l, sd_bus_message *m, launch_prepare_t prepare);

/* Steps of a preparation. The ticket must be good at this time (CLOCK_REALTIME; 0: whenever it was made). */
int launch_check_ticket(Launch *x, usec_t at_realtime, ReeveError *reterr);
/* Rules for the author, backend, limits. */
int launch_check_rules(Launch *x, ReeveError *reterr);
/* What reeved added, then `authored` (NULL-terminated), without names that are there already. With a task, its id and
 * attempt come first. */
int launch_make_environment(Launch *x, const char *task, char *const *authored, ReeveError *reterr);

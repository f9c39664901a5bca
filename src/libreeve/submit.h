/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Inside libreeve only: the way of a sealed specification to the registry, the same for a command and for a process
 * that runs. */

#include "common/task-id.h"
#include "libreeve/connection.h"
#include "libreeve/request.h"

/* What goes over the wire. Descriptors travel in the order of the specification: the memfd is number 0, then those that
 * its stdio entries name as "fd". */
typedef struct Submission {
        json_t *parameters;
        int fds[1 + SPEC_STDIO_COUNT]; /* the first is ours to close */
        size_t n_fds;
        char task_id[TASK_ID_MAX + 1];
        const char *backend; /* NULL: the registry's choice */
} Submission;

/* Writes what is asked for into the specification, and what it needs beside it into the submission. The id is there. */
typedef int (*submit_fill_t)(Request *q, const ReeveRun *run, Submission *w, const void *userdata,
                             ReeveError *reterr);

typedef struct Submitter {
        const char *method; /* "Run" */
        submit_fill_t fill;
        const void *userdata;
} Submitter;

/* Chooses the id if there is none, has the specification filled, seals it, and calls the method. Of `run` it takes names,
 * texts and metadata; argv[0] gives title and type where there are none. The rest as reeve_run(). */
int submit(ReeveConnection *c, const Submitter *how, const ReeveRun *run, char *ret_id, json_t **ret_task,
           ReeveError *reterr);

/* The same for a process that joins the task of run->task_id: with the specification and nothing else. */
int submit_join(ReeveConnection *c, const Submitter *how, const ReeveRun *run, json_t **ret_task,
                ReeveError *reterr);

/* Checks the names, and the id; makes an id if it is NULL. InvalidArgument names which is wrong. */
int submit_choose_id(const char *task_id, const char *subsystem, const char *task_type,
                     char ret[static TASK_ID_MAX + 1], ReeveError *reterr);

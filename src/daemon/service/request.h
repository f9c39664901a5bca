/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A request to run something, between its arrival and its task. */

#include "daemon/service/service-internal.h"

/* Until Authorize was answered there is no task yet: this is it. */
typedef struct RunOp {
        Service *service;
        ServiceHeld held;
        TaskRow row;
        usec_t forecast_p95_usec; /* if the deadline depends on it; 0: there is no history */
        TaskPolicy *policy;       /* NULL: an open task has the id already */
        char *spec;
        size_t spec_size;
        int spec_fd;
        int *stdio_fds;
        size_t n_stdio_fds;
        bool attach, join;
        size_t n_after_checked;      /* bytes of row.after whose ids are known to exist */
        char other[TASK_ID_MAX + 1]; /* the one that is being looked up */
        service_task_t callback;
        void *userdata;
} RunOp;

/* Takes the descriptors of the request over; NULL when memory is short. */
RunOp *run_op_new(Service *s, RunRequest *q, service_task_t callback, void *userdata);
RunOp *run_op_free(RunOp *op);
DEFINE_CLEANUP_FUNC(RunOp *, run_op_free)

/* Are the texts within their limits, the names names? */
int run_request_check(const RunRequest *q, ReeveError *reterr);

/* Everything about the request that needs nobody else: its texts are within their limits, the specification is sealed, sound and
 * the caller's own, the descriptors are those that it names. Fills the row, its content hash included. */
int run_op_check(RunOp *op, const Caller *caller, const RunRequest *q, ReeveError *reterr);

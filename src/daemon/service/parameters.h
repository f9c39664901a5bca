/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the parameters of a request mean, whatever bus they came by: each adapter makes a JSON object of its message. */

#include <jansson.h>

#include "daemon/service/service.h"

/* Gives the caller's descriptor with that index away; negative errno if there is none. */
typedef int (*take_fd_t)(void *userdata, size_t index);

/* Parameters of Run: `spec` and `stdio` are indices for take_fd. Texts of *ret are borrowed from the object, but *ret_metadata
 * is the caller's to free, after the request. On success service_run() takes the descriptors over; on failure none is left open. */
int run_parameters_parse(json_t *parameters, take_fd_t take_fd, void *userdata, RunRequest *ret,
                         char **ret_metadata, ReeveError *reterr);
/* Parameters of Attach: the same, but with `spec` alone it `joins`, and service_attach_to() takes the one descriptor over. */
int attach_parameters_parse(json_t *parameters, take_fd_t take_fd, void *userdata, RunRequest *ret,
                            char **ret_metadata, ReeveError *reterr);
/* Closes the descriptors of a request that is not made after all. */
void run_request_drop(RunRequest *q);

/* Parameters of List. The filter borrows its texts from the object. */
int list_parameters_parse(json_t *parameters, StoreFilter *ret, ReeveError *reterr);

/* Texts that a StartRequest borrows. */
typedef struct StartTexts {
        char *metadata;
        char sla[32];
} StartTexts;
void start_texts_done(StartTexts *t);

/* Parameters of Start: `watch` is an index for take_fd, which may be NULL: then there are no descriptors. *ret_texts is zeroed before, and
 * the caller's to give up after the request, also on failure. On success service_start() takes the descriptor over. */
int start_parameters_parse(json_t *parameters, take_fd_t take_fd, void *userdata, StartRequest *ret,
                           StartTexts *ret_texts, ReeveError *reterr);

/* Parameters of Update, Complete or Fail. The request borrows from the object. */
int report_parameters_parse(json_t *parameters, ReportKind kind, ReportRequest *ret, ReeveError *reterr);

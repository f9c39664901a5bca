/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The arguments of Launch, Check and Hook, as they came in. */

#include <systemd/sd-bus.h>

#include "common/launcher-protocol.h"
#include "common/spec/spec.h"

#define REQUEST_ENV_MAX        64
#define REQUEST_ARGS_MAX       64
#define REQUEST_ARGS_BYTES_MAX 65536

typedef enum RequestKind {
        REQUEST_TASK,  /* Launch */
        REQUEST_CHECK, /* Check */
        REQUEST_HOOK,  /* Hook */
} RequestKind;

typedef struct Request {
        int spec_fd; /* this and all else is borrowed from the message */
        const uint8_t *ticket;
        uint32_t attempt;
        const char *backend;   /* "" : the best */
        const char *subsystem; /* "": not given; names the slice of backend scope */
        SpecLimit limits[SPEC_LIMITS_MAX];
        size_t n_limits;
        const char *env[REQUEST_ENV_MAX];
        size_t n_env;
        uint64_t deadline_boottime_usec, grace_usec,
                        output_cap_bytes; /* UINT64_MAX, UINT64_MAX, 0: not given */
        uint32_t priority;                /* LIMIT_PRIORITY_MIN to _MAX */
        int fds[SPEC_STDIO_COUNT];
        size_t n_fds;

        /* of a program */
        const char *name;  /* of its record */
        uint32_t authored; /* the how manieth command of the specification's verify=; 0: argv */
        char *argv[REQUEST_ARGS_MAX + 1]; /* NULL-terminated */
        size_t n_argv;
} Request;

/* Reads the message. InvalidArgument for what reeved may not add, LimitExceeded for too much of it; a message of
 * another signature is -EBADMSG or similar with Internal. */
int request_read(Request *q, sd_bus_message *m, RequestKind kind, ReeveError *reterr);

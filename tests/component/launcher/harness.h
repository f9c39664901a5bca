/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A real launcher in a directory of its own, and a client with the rights of reeved. A helper that cannot do its
 * work fails the test. */

#include "tests/unit/test.h"

#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "common/launcher-protocol.h"
#include "common/record/record.h"
#include "common/spec/spec.h"

typedef struct Fixture {
        char root[64];
        const char *backend; /* for --backend */
        pid_t launcher;
        sd_bus *bus;
        int records_fd, inotify_fd, notify_fd;
        uid_t reeve_uid;
        gid_t reeve_gid;
} Fixture;

/* cmocka setup and teardown; the state is a Fixture. The teardown fails if a process or cgroup is left. */
int fixture_setup(void **state);
int fixture_setup_process(void **state);
int fixture_teardown(void **state);

/* Why the tests cannot run here; NULL if they can. */
const char *fixture_obstacle(void);

/* Starts the launcher and waits for its READY; `crash_at` and `once` may be NULL. */
void launcher_start(Fixture *f, const char *crash_at, const char *once);
/* Ends it with a signal and reaps it. */
void launcher_end(Fixture *f, int signal);
/* Waits for a launcher that kills itself. */
void launcher_wait(Fixture *f);

/* One request: what the author wrote, and what reeved adds. */
typedef struct Order {
        Spec spec;
        char *argv[16];
        char *env[8];
        uid_t author;
        uint32_t attempt;
        usec_t deadline_boottime, grace;
        uint64_t output_cap;
        const char *added_env;                /* or NULL */
        const char *wanted_backend;           /* or NULL */
        const char *method;                   /* NULL: Adopt if the specification attaches, else Launch */
        const char *limit_name, *limit_value; /* added by reeved, or NULL */
        const char *added_name, *added_type;  /* "s" or "a(ss)": an entry of any name, or NULL */
        int fds[3];
        size_t n_fds;
        int spec_fd;
        uint8_t ticket[LAUNCHER_TICKET_SIZE];
        sd_bus_error error;
        int32_t pid; /* after a launch */
} Order;

/* An order of root for `sh -c script` with output file; ids differ from order to order. */
Order *order_new(const char *script);
void order_free(Order *o);
static inline void order_freep(Order **o)
{
        if (*o)
                order_free(*o);
}
#define _cleanup_order_ _cleanup_(order_freep)

/* Makes the memfd as the author; Authorize; Launch: 0, or a negative errno with o->error set. */
void order_seal(Order *o);
int order_authorize(Fixture *f, Order *o);
int order_launch(Fixture *f, Order *o);
/* Sends Launch without waiting for the answer. */
void order_launch_async(Fixture *f, Order *o);
/* All three; fails the test if one fails. */
void order_start(Fixture *f, Order *o);

/* What is asked for beside a specification, by a method "Check" or "Hook". */
typedef struct Program {
        const char *method;
        const char *name; /* of its record, whose attempt is the order's */
        uint32_t authored;
        const char *const *argv; /* NULL-terminated */
        const char *added_env;   /* or NULL */
        usec_t deadline_boottime;
        int stdin_fds[2];
        size_t n_stdin_fds;
} Program;

/* Calls the method: 0, or a negative errno with o->error set. The ticket is the order's. */
int program_start(Fixture *f, Order *o, const Program *p);
/* The order under which the program's record and output are found. */
Order program_order(const Order *o, const Program *p);

/* Waits until the record is in this phase (or later) and maps it; the caller unmaps. */
const Record *order_wait(Fixture *f, const Order *o, RecordPhase phase);
/* Starts it, waits for its end. */
const Record *order_run(Fixture *f, Order *o);

/* True if there is a record. */
bool order_has_record(Fixture *f, const Order *o);
/* Waits for the record to go away. */
void order_wait_gone(Fixture *f, const Order *o);

/* Calls a method with (task, attempt); `types` and more arguments may follow. Returns as sd_bus_call. */
int order_call(Fixture *f, Order *o, const char *method, const char *types, ...);
void order_forget(Fixture *f, Order *o);

/* The output file, at most size - 1 bytes, terminated. */
size_t order_output(Fixture *f, const Order *o, char *buffer, size_t size);

/* Waits until the output has that text. */
void order_wait_output(Fixture *f, const Order *o, const char *text);

/* Waits, by pidfd, until a process that is not our child has ended. */
void wait_for_pid(pid_t pid);

#define assert_refused(result, order, expected)                                                         \
        do {                                                                                            \
                int _refused = (result);                                                                \
                if (_refused >= 0 ||                                                                    \
                    !sd_bus_error_has_name(&(order)->error, LAUNCHER_ERROR_PREFIX expected))            \
                        fail_msg("expected " expected ", got %d %s: %s", _refused, (order)->error.name, \
                                 (order)->error.message);                                               \
        } while (0)

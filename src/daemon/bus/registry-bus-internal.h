/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the adapter share. A call's way through them:
 *
 *     registry-bus.c  the connection, its name, and the table of methods
 *     run-bus.c, report-bus.c, look-bus.c, act-bus.c   the handler reads the message into a BusCall
 *     bus-sender.c    who asks? The bus knows; the answer is kept as long as the sender stays
 *     polkit.c        may he? Asked only where the service would say no
 *     bus-call.c      the answer of the service becomes a reply
 *
 * and beside it: bus-signal.c (events as signals), bus-task.c (tasks as objects), bus-value.c (dictionaries). */

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "basic/hash.h"
#include "basic/list.h"
#include "daemon/bus/registry-bus.h"
#include "daemon/loop/reconnect.h"

#define REGISTRY_OBJECT    "/io/reeve/Registry1"
#define REGISTRY_INTERFACE "io.reeve.Registry1"
#define TASK_OBJECT        REGISTRY_OBJECT "/task"
#define TASK_INTERFACE     "io.reeve.Task1"

/* What polkit is asked about. */
typedef enum BusRight {
        BUS_RIGHT_MANAGE_OTHERS,
        BUS_RIGHT_READ_PRIVATE,
        BUS_RIGHT_RELOAD_POLICY,
        _BUS_RIGHT_MAX,
} BusRight;

typedef enum BusVerdict {
        BUS_VERDICT_DENIED,
        BUS_VERDICT_GRANTED,
        BUS_VERDICT_INTERACTION_NEEDED, /* the caller did not allow that he is asked */
} BusVerdict;

/* A connection to the bus that has called us. */
typedef struct BusSender {
        RegistryBus *bus;
        char *name;     /* unique name */
        ListLink calls; /* BusCall: all that are not answered */
        unsigned n_calls;
        gid_t *groups;      /* owned; `caller` borrows them */
        bool known;         /* `caller` is filled */
        sd_bus_slot *query; /* the bus is being asked who this is */
        Caller caller;
        struct {
                usec_t until; /* boottime */
                BusVerdict verdict;
        } verdicts[_BUS_RIGHT_MAX];
} BusSender;

#define BUS_FDS_MAX 4
/* Descriptors that came with a message; owned, -EBADF when given away. */
typedef struct BusFds {
        int fds[BUS_FDS_MAX];
        size_t n;
} BusFds;

typedef struct BusCall BusCall;
/* The next step of a call; it answers the call or hands it on. */
typedef void (*bus_step_t)(BusCall *c);
typedef void (*bus_verdict_t)(BusCall *c, BusVerdict verdict);

/* A call that waits for its answer: the userdata of service callbacks. */
struct BusCall {
        RegistryBus *bus;
        BusSender *sender; /* NULL: gone; then the answer goes nowhere */
        ListLink link;     /* of sender->calls or bus->orphans */
        sd_bus_message *message;
        Caller caller;
        bool in_service; /* a callback of the service will come */

        bus_step_t next;          /* when the sender is known */
        bus_verdict_t on_verdict; /* when polkit has answered */
        sd_bus_slot *question;    /* that polkit has not answered */
        uint64_t question_number;
        BusRight right;

        /* of the request; texts are borrowed from the message */
        const char *task_id, *reason;
        int signal;
        usec_t by_usec;
        bus_step_t act;
        json_t *parameters;
        StoreFilter filter;
};

struct RegistryBus {
        sd_event *event;
        Service *service;
        const Clock *clock;
        char *address, *name;
        gid_t admin_gid;

        sd_bus *bus; /* NULL: away */
        Reconnect reconnect;
        bool complained; /* that the bus is away; once is enough */

        Hash *senders;    /* BusSender by name */
        ListLink orphans; /* BusCall without sender, that the service holds */
        uint64_t n_questions;

        TaskRow shown; /* the task whose object is being looked at; shallow */

        ServiceMonitor *monitor;
        int64_t last_event; /* that was signalled; -1: none */
        sd_event_source *resume;
        Hash *changed; /* BusChange by path: objects whose Status changed in this turn */
        sd_event_source *flush;
};

/* ---- bus-call.c ---- */

/* NULL when the call was answered already: too many calls, or memory is short. */
BusCall *bus_call_new(RegistryBus *b, sd_bus_message *m);
BusCall *bus_call_free(BusCall *c);
DEFINE_CLEANUP_FUNC(BusCall *, bus_call_free)
/* Answers with an error and frees the call. */
void bus_call_fail(BusCall *c, const ReeveError *error);
/* Sends the reply (NULL: memory was short) and frees the call. `r` is what building it returned. */
void bus_call_reply(BusCall *c, sd_bus_message *reply, int r);
/* service_done_t whose userdata is a BusCall: an empty reply. */
void bus_call_done(const ReeveError *error, void *userdata);
/* The error under its name in the error table; returns what a method handler returns. */
int bus_reply_error(sd_bus_message *m, const ReeveError *e);

/* ---- bus-sender.c ---- */

/* The sender of a message; NULL when memory is short. */
BusSender *bus_sender_get(RegistryBus *b, sd_bus_message *m);
/* Fills caller of the call and goes on with `next`, at once or when the bus has answered. */
void bus_call_identify(BusCall *c, bus_step_t next);
/* Follows who leaves the bus. */
int bus_senders_start(RegistryBus *b);
void bus_senders_stop(RegistryBus *b);

/* ---- polkit.c ---- */

/* Asks whether the sender of the call has the right, unless it is known; the step comes once, unless the sender goes. */
void bus_call_authorize(BusCall *c, BusRight right, bus_verdict_t step);
/* Takes back a question that is out. */
void bus_call_withdraw(BusCall *c);

/* ---- bus-value.c ---- */

/* Reads an a{sv} into an object: strings, numbers, booleans, and maps of such; an "ah" becomes indices into `fds`, which may be NULL: then
 * descriptors are refused. InvalidArgument names the key. */
int bus_read_dict(sd_bus_message *m, BusFds *fds, json_t **ret, ReeveError *reterr);
/* Replaces a string of the object by the JSON object whose text it is. Nothing happens if there is none under that key. */
int bus_parse_object(json_t *object, const char *key, ReeveError *reterr);
/* Appends an object of the interface's types as a{sv}. Negative errno of sd-bus. */
int bus_append_dict(sd_bus_message *m, json_t *object);
/* Appends JSON as a value of the given type: "s" (an object or list as JSON text), "x", "as", "a{s?}". */
int bus_append_as(sd_bus_message *m, const char *signature, json_t *value);
void bus_fds_done(BusFds *f);

/* ---- bus-signal.c ---- */

int bus_signals_start(RegistryBus *b);
void bus_signals_stop(RegistryBus *b);

/* ---- bus-task.c ---- */

int bus_tasks_add(RegistryBus *b, sd_bus *bus);
/* Object path of a task; caller frees. NULL when memory is short. */
char *bus_task_path(const char *task_id);

/* ---- methods ---- */

#define BUS_METHOD(name) int name(sd_bus_message *m, void *userdata, sd_bus_error *reterr)

BUS_METHOD(bus_run_task);
BUS_METHOD(bus_attach_task);
BUS_METHOD(bus_start_task);
BUS_METHOD(bus_update_task);
BUS_METHOD(bus_complete_task);
BUS_METHOD(bus_fail_task);
BUS_METHOD(bus_publish);
BUS_METHOD(bus_cancel_task);
BUS_METHOD(bus_signal_task);
BUS_METHOD(bus_freeze_task);
BUS_METHOD(bus_thaw_task);
BUS_METHOD(bus_extend_task);
BUS_METHOD(bus_get_task);
BUS_METHOD(bus_list_tasks);
BUS_METHOD(bus_get_stats);
BUS_METHOD(bus_reload_policy);

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sd_journal_send(3) blocks while journald is slow or stopped, and a loop thread that waits for a log misses deadlines.
 * So this speaks journald's native protocol itself, which is documented and small: a datagram of fields, each
 * "NAME=value\n", or, for values that may hold a newline, "NAME\n", the length in 64 bits little-endian, the value, "\n".
 *
 * The socket never blocks. What it does not take waits in a list, in order, until it is writable again; the list is
 * bounded, because a journal that hangs must not eat our memory. The registry has everything that is dropped here.
 *
 * journald is socket-activated: its socket outlives it, so an entry that is sent while journald restarts is kept by
 * the kernel. When the socket itself was replaced (ECONNREFUSED), the next entry connects again.
 *
 * What leads to an end is told at level debug. Neither here nor in journald, which counts each level apart when it limits
 * the rate, does that keep out the entry of an end: while entries wait, half of the room is for the other levels. */

#include "daemon/log/journal.h"

#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>

#include "basic/fd.h"
#include "basic/list.h"
#include "basic/log.h"
#include "basic/strings.h"

#define WAITING_MAX 1024 /* entries of about 1 KiB */

#define ID_COMPLETED     "9d929290f032400c882c32cf328e7b52"
#define ID_FAILED        "2df5cf92eb364797b10785a8330ce308"
#define ID_CANCELLED     "231b62229efb46aea3fd87d2f6e3da39"
#define ID_LOST          "fb4043a7bda04b4598bccd6b63a935c3"
#define ID_CREATED       "a16f58b5eec8444b8cf252327fd28fd4"
#define ID_STARTED       "cdecb4d7643343ffb05255ed7f971c5c"
#define ID_VERIFYING     "921c8e51b8ab44008fed7fc403058e3e"
#define ID_RETRY         "8d65b9f726404e33965e6801551b17ca"
#define ID_HELD          "2d18e3ba870f409390ad1c71b3ba836e"
#define ID_RELEASED      "471eea620e7e4005bf43378a9f403ed9"
#define ID_EXTENDED      "0baf4ca7106e45fdbbab44efbe2e74fa"
#define ID_SLA_WARNING   "d3051140d0ee455f91f9daa04f31ee19"
#define ID_DEADLINE      "bb1d15dd3dbc4686bb13d33b77496a59"
#define ID_LADDER_STEP   "8fed4a59b4514510960623fbf1166b6e"
#define ID_NOT_STORED    "1ed67137edc746a78f5985bb5d950ef1"
#define ID_LAUNCHER_AWAY "c450713c0abc46c1824d669cfa249a9d"
#define ID_POLICY        "5b0c7d3f6a4e4f6f9d0a41c6b7a3e852"
#define ID_HOOK          "0d6f1c4e7a8b4c02b9a7e6f1d2c3b4a5"
#define ID_STUCK         "6c1e7f0a8e5d4b7f9a3c52d1e4b6f870"
#define ID_LOG_SIGNED    "a11316bbb8b34fbfa86308a4331a4f0e"

typedef struct Entry {
        ListLink link;
        Buffer text;
        bool is_debug;
} Entry;

struct Journal {
        sd_event *event;
        struct sockaddr_un address;
        int fd;                  /* connected; -EBADF: the next entry connects */
        sd_event_source *source; /* of fd, enabled while entries wait */
        ListLink waiting;        /* Entry */
        unsigned n_waiting;
        unsigned n_dropped; /* since it was last logged */
};

static Entry *entry_free(Entry *e)
{
        if (e) {
                buffer_done(&e->text);
                free(e);
        }
        return NULL;
}
DEFINE_CLEANUP_FUNC(Entry *, entry_free)

/* ---- handing over ---- */

static void disconnect(Journal *j)
{
        j->source = sd_event_source_disable_unref(j->source);
        j->fd = fd_close(j->fd);
}

static int on_writable(sd_event_source *s, int fd, uint32_t revents, void *userdata);

static int connect_journal(Journal *j)
{
        if (j->fd >= 0)
                return 0;
        j->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (j->fd < 0)
                return -errno;
        int r = connect(j->fd, (const struct sockaddr *)&j->address, sizeof(j->address)) < 0 ? -errno : 0;
        if (r >= 0)
                r = sd_event_add_io(j->event, &j->source, j->fd, EPOLLOUT, on_writable, j);
        if (r >= 0)
                r = sd_event_source_set_enabled(j->source, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(j->source, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                disconnect(j);
        return r;
}

/* -EAGAIN: later. Other errors: this entry cannot be handed over. */
static int hand_over(Journal *j, const Entry *e)
{
        int r = -ECONNREFUSED;

        for (int tries = 0; r == -ECONNREFUSED && tries < 2; tries++) {
                r = connect_journal(j);
                if (r < 0)
                        return r;
                r = send(j->fd, e->text.data, e->text.size, MSG_NOSIGNAL) < 0 ? -errno : 0;
                if (r == -ECONNREFUSED || r == -ENOTCONN)
                        disconnect(j);
        }
        return r == -ENOBUFS ? -EAGAIN : r;
}

static void count_dropped(Journal *j, int error)
{
        if (j->n_dropped++ == 0)
                log_warning_errno(error, "the journal does not take what it is told, entries are dropped");
}

/* An entry that was handed over ends a time of trouble. */
static void account_dropped(Journal *j)
{
        if (j->n_dropped > 0)
                log_warning("%u entries for the journal were dropped", j->n_dropped);
        j->n_dropped = 0;
}

static int on_writable(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Journal *j = ASSERT_PTR(userdata);

        while (!list_is_empty(&j->waiting)) {
                Entry *e = container_of(j->waiting.next, Entry, link);
                int r = hand_over(j, e);

                if (r == -EAGAIN) /* the source may be a new one, of a new connection */
                        return sd_event_source_set_enabled(j->source, SD_EVENT_ON);
                if (r < 0)
                        count_dropped(j, r);
                else
                        account_dropped(j);
                list_remove(&e->link);
                j->n_waiting--;
                entry_free(e);
        }
        return j->source ? sd_event_source_set_enabled(j->source, SD_EVENT_OFF) : 0;
}

static void submit(Journal *j, Entry *entry)
{
        _cleanup_(entry_freep) Entry *e = entry;

        int r = list_is_empty(&j->waiting) ? hand_over(j, e) : -EAGAIN;
        if (r == 0)
                account_dropped(j);
        else if (r == -EAGAIN && j->n_waiting < (e->is_debug ? WAITING_MAX / 2 : WAITING_MAX)) {
                list_append(&j->waiting, &TAKE_PTR(e)->link);
                j->n_waiting++;
                sd_event_source_set_enabled(j->source, SD_EVENT_ON);
        } else
                count_dropped(j, r);
}

/* ---- writing an entry ---- */

/* A value of ours, without a newline. */
static int add_format(Entry *e, const char *name, const char *format, ...) _printf_(3, 4);
static int add_format(Entry *e, const char *name, const char *format, ...)
{
        char value[256];
        va_list ap;

        va_start(ap, format);
        vsnprintf(value, sizeof(value), format, ap);
        va_end(ap);
        return buffer_printf(&e->text, "%s=%s\n", name, value);
}

/* A text of somebody else's, whatever is in it. NULL and "" are no field. */
static int add_text(Entry *e, const char *name, const char *value)
{
        if (!value || value[0] == '\0')
                return 0;
        uint64_t size = htole64(strlen(value));
        int r = buffer_printf(&e->text, "%s\n", name);
        if (r >= 0)
                r = buffer_append(&e->text, &size, sizeof(size));
        return r >= 0 ? buffer_printf(&e->text, "%s\n", value) : r;
}

/* The counter cpu_usec is field REEVE_CPU_USEC. What is unknown is no field. */
static int add_usage(Entry *e, const Usage *usage)
{
        int r = 0;

        for (UsageField f = 0; f < _USAGE_FIELD_MAX && r >= 0; f++) {
                char name[64] = "REEVE_";
                size_t n = strlen(name);

                if (!usage_has(usage, f))
                        continue;
                for (const char *c = usage_field_info(f)->name; *c && n < sizeof(name) - 1; c++)
                        name[n++] = (char)toupper((unsigned char)*c);
                r = add_format(e, name, "%lld", (long long)usage->value[f]);
        }
        return r;
}

static int add_exit(Entry *e, const TaskRow *t)
{
        if (!t->has_exit)
                return 0;
        return t->exit_signal != 0 ? add_format(e, "REEVE_EXIT_SIGNAL", "%d", t->exit_signal)
                                   : add_format(e, "REEVE_EXIT_STATUS", "%d", t->exit_status);
}

static int add_task(Entry *e, const TaskRow *t)
{
        int r = add_text(e, "REEVE_TASK_ID", t->task_id);

        if (r >= 0)
                r = add_text(e, "REEVE_SUBSYSTEM", t->subsystem);
        if (r >= 0)
                r = add_text(e, "REEVE_TASK_TYPE", t->task_type);
        if (r >= 0)
                r = add_text(e, "REEVE_TITLE", t->title);
        if (r >= 0)
                r = add_text(e, "REEVE_STATUS", task_state_name(t->status));
        if (r >= 0)
                r = add_text(e, "REEVE_OUTCOME", task_outcome_name(t->outcome));
        if (r >= 0)
                r = add_format(e, "REEVE_OWNER_UID", "%u", t->owner_uid);
        if (r >= 0)
                r = add_format(e, "REEVE_ATTEMPT", "%u", t->attempt);
        if (r >= 0 && t->started_realtime > 0)
                r = add_format(e, "REEVE_DURATION_USEC", "%llu", (unsigned long long)t->duration_usec);
        if (r >= 0)
                r = add_exit(e, t);
        if (r >= 0 && t->verification != VERIFICATION_NONE) {
                r = add_text(e, "REEVE_VERIFICATION_STATUS", verification_status_name(t->verification));
                if (r >= 0)
                        r = add_format(e, "REEVE_VERIFICATION_PASSES", "%u", t->verification_passes);
                if (r >= 0)
                        r = add_format(e, "REEVE_VERIFICATION_FAILURES", "%u", t->verification_failures);
        }
        return r >= 0 ? add_usage(e, &t->usage) : r;
}

/* NULL when memory is short. */
static Entry *entry_new(const char *id, int priority)
{
        _cleanup_(entry_freep) Entry *e = NEW0(Entry, 1);

        if (!e || add_format(e, "MESSAGE_ID", "%s", id) < 0 ||
            add_format(e, "PRIORITY", "%d", priority) < 0 ||
            add_format(e, "SYSLOG_IDENTIFIER", "reeved") < 0)
                return NULL;
        e->is_debug = priority >= LOG_DEBUG;
        return TAKE_PTR(e);
}

static int add_summary(Entry *e, const TaskRow *t)
{
        char duration[64], cpu[64];

        bool has_cpu = usage_has(&t->usage, USAGE_CPU);
        usec_format_span(t->duration_usec, duration, sizeof(duration));
        usec_format_span(has_cpu ? (usec_t)t->usage.value[USAGE_CPU] : 0, cpu, sizeof(cpu));
        const char *outcome = task_outcome_name(t->outcome);
        return add_format(e, "MESSAGE", "%s %s%s%s%s%s%s%s", t->task_id, task_state_name(t->status),
                          outcome[0] ? ": " : "", outcome, t->started_realtime > 0 ? ", took " : "",
                          t->started_realtime > 0 ? duration : "", has_cpu ? ", CPU " : "",
                          has_cpu ? cpu : "");
}

/* ---- the entries ---- */

static const struct {
        const char *id;
        int priority;
} ends[_TASK_STATE_MAX] = {
        [TASK_COMPLETED] = { ID_COMPLETED, LOG_INFO },
        [TASK_FAILED] = { ID_FAILED, LOG_NOTICE },
        [TASK_CANCELLED] = { ID_CANCELLED, LOG_INFO },
        [TASK_LOST] = { ID_LOST, LOG_WARNING },
};

void journal_task_ended(Journal *j, const TaskRow *task)
{
        assert(task);
        assert(task_state_is_final(task->status));

        if (!j)
                return;
        _cleanup_(entry_freep) Entry *e = entry_new(ends[task->status].id, ends[task->status].priority);
        if (!e || add_summary(e, task) < 0 || add_task(e, task) < 0)
                count_dropped(j, ENOMEM);
        else
                submit(j, TAKE_PTR(e));
}

/* Topics that have no entry of their own kind. A row may be ahead of the event that it is shown with: `status` is what the
 * event made of it. */
static const struct {
        const char *topic, *id, *what;
        TaskState status; /* _TASK_STATE_INVALID: it changes none */
} events[] = {
        { "task.created", ID_CREATED, "created", TASK_PENDING },
        { "task.started", ID_STARTED, "started", TASK_ACTIVE },
        { "task.verifying", ID_VERIFYING, "has done its work, which is verified", TASK_VERIFYING },
        { "task.retry", ID_RETRY, "is tried again", TASK_PENDING },
        { "task.held", ID_HELD, "is held", TASK_PENDING },
        { "task.released", ID_RELEASED, "is held no more", TASK_PENDING },
        { "task.sla_extended", ID_EXTENDED, "has more time", _TASK_STATE_INVALID },
};

void journal_task_event(Journal *j, const TaskRow *task, const char *topic)
{
        size_t i = 0;

        assert(task);
        assert(topic);

        while (i < ELEMENTSOF(events) && !streq(events[i].topic, topic))
                i++;
        if (!j || i == ELEMENTSOF(events))
                return;
        TaskRow then = *task; /* borrows its strings */
        if (events[i].status >= 0)
                then.status = events[i].status;
        then.outcome = TASK_OUTCOME_NONE;
        then.started_realtime = 0;
        then.has_exit = false;
        _cleanup_(entry_freep) Entry *e = entry_new(events[i].id, LOG_DEBUG);
        if (!e || add_format(e, "MESSAGE", "%s %s", task->task_id, events[i].what) < 0 ||
            add_task(e, &then) < 0)
                count_dropped(j, ENOMEM);
        else
                submit(j, TAKE_PTR(e));
}

void journal_task_not_stored(Journal *j, const TaskRow *task, const ReeveError *error)
{
        assert(task);
        assert(error);

        if (!j)
                return;
        _cleanup_(entry_freep) Entry *e = entry_new(ID_NOT_STORED, LOG_ERR);
        if (!e || add_format(e, "MESSAGE", "%s has ended, and that cannot be stored", task->task_id) < 0 ||
            add_text(e, "REEVE_ERROR", error->text) < 0 || add_task(e, task) < 0)
                count_dropped(j, ENOMEM);
        else
                submit(j, TAKE_PTR(e));
}

static int add_step(Entry *e, const JournalStep *s)
{
        int r = s->number > 0 ? add_format(e, "REEVE_STEP", "%u", s->number) : 0;

        if (r >= 0)
                r = add_text(e, "REEVE_STEP_DO", s->what);
        if (r >= 0)
                r = add_text(e, "REEVE_STEP_STATE", s->state);
        if (r >= 0)
                r = add_format(e, "REEVE_LATENESS_USEC", "%llu", s->lateness_usec);
        return r >= 0 && s->message ? add_text(e, "REEVE_ERROR", s->message) : r;
}

void journal_ladder_step(Journal *j, const TaskRow *task, const JournalStep *step)
{
        assert(task);
        assert(step);

        if (!j)
                return;
        bool missed = step->number == 0;
        const char *id = missed ? ID_DEADLINE : step->is_warning ? ID_SLA_WARNING : ID_LADDER_STEP;
        _cleanup_(entry_freep) Entry *e = entry_new(id, missed ? LOG_WARNING : LOG_NOTICE);
        int r = !e       ? -ENOMEM
                : missed ? add_format(e, "MESSAGE", "%s missed its deadline", task->task_id)
                         : add_format(e, "MESSAGE", "%s: step %u (%s) of its ladder: %s", task->task_id,
                                      step->number, step->what, step->state);
        if (r < 0 || add_step(e, step) < 0 || add_task(e, task) < 0)
                count_dropped(j, ENOMEM);
        else
                submit(j, TAKE_PTR(e));
}

void journal_task_stuck(Journal *j, const TaskRow *task, const char *rule, usec_t span_usec)
{
        char span[32];

        assert(task);
        assert(rule);

        if (!j)
                return;
        usec_format_span(span_usec, span, sizeof(span));
        _cleanup_(entry_freep) Entry *e = entry_new(ID_STUCK, LOG_WARNING);
        if (!e || add_format(e, "MESSAGE", "%s is stuck: %s for %s", task->task_id, rule, span) < 0 ||
            add_format(e, "REEVE_STUCK_RULE", "%s", rule) < 0 ||
            add_format(e, "REEVE_STUCK_USEC", "%llu", (unsigned long long)span_usec) < 0 ||
            add_task(e, task) < 0)
                count_dropped(j, ENOMEM);
        else
                submit(j, TAKE_PTR(e));
}

void journal_hook_said(Journal *j, const TaskRow *hook, const char *text)
{
        assert(hook);
        assert(text);

        if (!j)
                return;
        bool good = hook->status == TASK_COMPLETED;
        _cleanup_(entry_freep) Entry *e = entry_new(ID_HOOK, good ? LOG_INFO : LOG_WARNING);
        if (!e || add_text(e, "MESSAGE", text) < 0 || add_task(e, hook) < 0)
                count_dropped(j, ENOMEM);
        else
                submit(j, TAKE_PTR(e));
}

void journal_launcher_away(Journal *j)
{
        if (!j)
                return;
        _cleanup_(entry_freep) Entry *e = entry_new(ID_LAUNCHER_AWAY, LOG_WARNING);
        if (!e || add_format(e, "MESSAGE", "the launcher is away; running tasks go on") < 0)
                count_dropped(j, ENOMEM);
        else
                submit(j, TAKE_PTR(e));
}

void journal_policy_refused(Journal *j, const ReeveError *error)
{
        assert(error);

        if (!j)
                return;
        _cleanup_(entry_freep) Entry *e = entry_new(ID_POLICY, LOG_ERR);
        if (!e || add_format(e, "MESSAGE", "the policy was not loaded: %s", error->text) < 0 ||
            add_text(e, "REEVE_ERROR", error->text) < 0)
                count_dropped(j, ENOMEM);
        else
                submit(j, TAKE_PTR(e));
}

void journal_log_signed(Journal *j, const char *note, uint64_t entries)
{
        assert(note);

        if (!j)
                return;
        _cleanup_(entry_freep) Entry *e = entry_new(ID_LOG_SIGNED, LOG_INFO);
        if (!e ||
            add_format(e, "MESSAGE", "the immutable log has %" PRIu64 " entries, and is signed", entries) <
                            0 ||
            add_format(e, "REEVE_LOG_ENTRIES", "%" PRIu64, entries) < 0 ||
            add_text(e, "REEVE_CHECKPOINT", note) < 0)
                count_dropped(j, ENOMEM);
        else
                submit(j, TAKE_PTR(e));
}

/* ---- life ---- */

int journal_new(sd_event *event, const char *path, Journal **ret)
{
        assert(event);
        assert(path);
        assert(ret);

        _cleanup_(journal_freep) Journal *j = NEW0(Journal, 1);
        if (!j)
                return -ENOMEM;
        j->fd = -EBADF;
        list_init(&j->waiting);
        j->event = sd_event_ref(event);
        j->address.sun_family = AF_UNIX;
        if (strlen(path) >= sizeof(j->address.sun_path))
                return -ENAMETOOLONG;
        strcpy(j->address.sun_path, path);
        int r = connect_journal(j);
        if (r < 0)
                return r == -ECONNREFUSED ? -ENOENT : r;
        *ret = TAKE_PTR(j);
        return 0;
}

Journal *journal_free(Journal *j)
{
        if (!j)
                return NULL;
        for (ListLink *l; (l = list_pop(&j->waiting));)
                entry_free(container_of(l, Entry, link));
        disconnect(j);
        sd_event_unref(j->event);
        free(j);
        return NULL;
}

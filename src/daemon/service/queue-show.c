/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a pending task waits for, for whoever asks. None of it is stored, all of it is of this moment.
 *
 * When its turn will come is an estimate: those that run in the same slots take as long as half of their kind took before (the median
 * of what the database has), and those that come first take them in turn, each as long as what runs there does on the average. A
 * kind without history makes it unknown. The medians are read when somebody may want them, kept, and read again after a minute:
 * nobody waits for them, so the very first answer may lack the estimate.
 *
 * Only a sample of the slots is looked at where there are very many. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "basic/log.h"
#include "basic/strings.h"
#include "daemon/service/service-internal.h"

#define HISTORIES_MAX   4096
#define FRESH_USEC      USEC_PER_MINUTE
#define SLOTS_LOOKED_AT 64

typedef struct History {
        char *key; /* "subsystem/type" */
        usec_t median_usec;
        usec_t asked_boottime; /* 0: never */
        bool asking;
} History;

typedef struct HistoryOp {
        Service *service;
        History *history;
} HistoryOp;

void service_drop_histories(Service *s)
{
        assert(s);

        if (!s->histories)
                return;
        HASH_FOREACH(s->histories, History, h) {
                free(h->key);
                free(h);
        }
        s->histories = hash_free(s->histories);
}

static History *get_history(Service *s, const TaskRow *row)
{
        _cleanup_free_ char *key = string_printf("%s/%s", row->subsystem, row->task_type);
        History *known = key ? hash_get(s->histories, key) : NULL;

        if (known || !key || hash_size(s->histories) >= HISTORIES_MAX)
                return known;
        History *h = NEW0(History, 1);
        if (!h)
                return NULL;
        h->key = TAKE_PTR(key);
        if (hash_put(s->histories, h->key, h) < 0) {
                free(h->key);
                free(h);
                return NULL;
        }
        return h;
}

static void on_median(const ReeveError *error, usec_t median_usec, void *userdata)
{
        _cleanup_free_ HistoryOp *op = ASSERT_PTR(userdata);

        op->history->asking = false;
        if (error)
                log_full_reeve_error(LOG_WARNING, error, op->history->key);
        else
                op->history->median_usec = median_usec;
}

static History *want_history(Service *s, const TaskRow *row)
{
        usec_t now = clock_boottime(s->clock);

        History *h = get_history(s, row);
        if (!h || h->asking || (h->asked_boottime != 0 && usec_sub(now, h->asked_boottime) < FRESH_USEC))
                return h;
        HistoryOp *op = NEW(HistoryOp, 1);
        if (op)
                *op = (HistoryOp){ s, h };
        if (!op || store_median(s->store, row->subsystem, row->task_type, on_median, op) < 0) {
                free(op);
                return h;
        }
        h->asking = true;
        h->asked_boottime = now;
        return h;
}

void service_want_history(Service *s, const TaskRow *row)
{
        assert(s);
        assert(row);

        (void)want_history(s, row);
}

/* How long its kind takes; 0: nobody knows. */
static usec_t usual_duration(Service *s, TaskQueue *q)
{
        const History *h = want_history(s, &q->task->row);
        return h ? h->median_usec : 0;
}

static int compare_times(const void *a, const void *b)
{
        const usec_t *x = a, *y = b;
        return *x < *y ? -1 : *x > *y;
}

/* Of those that run in the slots it wants: what each has left, in order. The number of them, 0 if one is unknown. */
static size_t what_is_left(Service *s, const Task *t, QueueLimit limit, usec_t left[static SLOTS_LOOKED_AT],
                           usec_t *ret_mean)
{
        QueueEntry *peers[SLOTS_LOOKED_AT];
        usec_t now = clock_boottime(s->clock), sum = 0;

        size_t n = queue_running_with(s->queue, &t->queue->entry, limit, peers, SLOTS_LOOKED_AT);
        for (size_t i = 0; i < n; i++) {
                TaskQueue *q = container_of(peers[i], TaskQueue, entry);
                usec_t usual = usual_duration(s, q), started = q->task->row.started_boottime;
                if (usual == 0)
                        return 0;
                sum = usec_add(sum, usual);
                left[i] = usec_sub(usual, started == 0 ? 0 : usec_sub(now, started));
        }
        qsort(left, n, sizeof(*left), compare_times);
        *ret_mean = n > 0 ? sum / n : 0;
        return n;
}

static usec_t expect_start(Service *s, const Task *t, const QueuePosition *p)
{
        usec_t left[SLOTS_LOOKED_AT], mean;

        size_t n = what_is_left(s, t, p->limit, left, &mean);
        if (n == 0)
                return 0;
        size_t turn = p->running > n ? (size_t)((double)p->ahead * (double)n / p->running) : p->ahead;
        return usec_add(clock_realtime(s->clock), usec_add(left[turn % n], mean * (turn / n)));
}

static void describe_position(const TaskRow *row, const QueuePosition *p, char *text, size_t size)
{
        switch (p->limit) {
        case QUEUE_LIMIT_TASK_TYPE:
                snprintf(text, size, "%u of %u of %s/%s run", p->running, p->max, row->subsystem,
                         row->task_type);
                return;
        case QUEUE_LIMIT_SUBSYSTEM:
                snprintf(text, size, "%u of %u of %s run", p->running, p->max, row->subsystem);
                return;
        case QUEUE_LIMIT_ALL:
                snprintf(text, size, "%u of %u of all tasks run", p->running, p->max);
                return;
        case QUEUE_LIMIT_NONE:
                return;
        }
}

static void describe_pause(const TaskRow *row, char *text, size_t size)
{
        time_t at = (time_t)(row->not_before_realtime / USEC_PER_SEC);
        char when[16] = "";
        struct tm tm;

        if (localtime_r(&at, &tm))
                strftime(when, sizeof(when), "%H:%M:%S", &tm);
        snprintf(text, size, "attempt %u at %s", row->attempt + 1, when);
}

void service_queue_describe(Service *s, const Task *t, TaskRow *row, char text[static PENDING_REASON_SIZE])
{
        QueuePosition p;

        assert(s);
        assert(t);
        assert(row);

        text[0] = '\0';
        if (t->row.status != TASK_PENDING || !t->queue)
                return;
        row->held = t->row.held;
        if (t->row.held)
                strcpy(text, "held");
        else if (service_after_describe(t->queue, text, PENDING_REASON_SIZE) > 0)
                ;
        else if (t->queue->pause_index != PRIOQ_NONE)
                describe_pause(&t->row, text, PENDING_REASON_SIZE);
        else if (t->queue->entry.state == QUEUE_WAITING) {
                queue_position(s->queue, &t->queue->entry, &p);
                describe_position(row, &p, text, PENDING_REASON_SIZE);
                row->has_queue_ahead = true;
                row->queue_ahead = p.ahead;
                row->expected_start_realtime = expect_start(s, t, &p);
        } else if (!launcher_client_is_connected(s->launcher))
                strcpy(text, "the launcher is away");
}

void service_queue_describe_rows(Service *s, TaskRow **rows, size_t n)
{
        char text[PENDING_REASON_SIZE];
        size_t n_waiting = 0;

        assert(s);

        for (size_t i = 0; i < n; i++)
                n_waiting += rows[i]->status == TASK_PENDING;
        if (n_waiting > 1)
                queue_rank(s->queue);
        for (size_t i = 0; i < n; i++) {
                const Task *t = rows[i]->status == TASK_PENDING ? registry_get(s->registry, rows[i]->task_id)
                                                                : NULL;
                if (!t)
                        continue;
                service_queue_describe(s, t, rows[i], text);
                if (text[0])
                        rows[i]->pending_reason = strdup(text); /* for want of memory without */
        }
}

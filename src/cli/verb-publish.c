/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve publish: events of others are handed to the registry, one from the arguments, or many from standard input.
 *
 *     reeve publish task.completed '{"task_id": "mission_1", "success": true}'
 *     tail -n +1 -F bus.jsonl | reeve publish
 *
 * Input may be a file of a million lines or a pipe on which one comes a day: so each line is sent when it is there, without waiting for
 * the answers to those before, and each answer is shown when it comes. Answers come in the order of the lines. At most WINDOW_MAX are out, and a
 * line is at most LINE_MAX_BYTES long, so memory is bounded whatever comes in.
 *
 * A line that is refused, here or by the registry, is named on standard error, and the next one has its turn: who hands on what others
 * say must not stop at the first nonsense.
 *
 * When the registry is replaced, what was not answered is sent again to the next one, which knows what the first one has done. For that a
 * task.created without an id gets one here. Only of what was sent twice AlreadyFinished means nothing: `started` is refused if the
 * `completed` behind it was taken the first time, too. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/list.h"
#include "basic/strings.h"
#include "cli/session.h"
#include "cli/verb.h"
#include "common/clock.h"
#include "common/error-table.h"
#include "common/json/json.h"
#include "common/task-id.h"

#define WINDOW_MAX     256
#define LINE_MAX_BYTES (1024U * 1024)
#define READ_BYTES     (64U * 1024)
#define EVENT_DEPTH    40 /* more than a payload may have, less than would end the connection */
#define PATIENCE_USEC  (60 * USEC_PER_SEC)
#define FUTILE_MAX     5 /* connections, one after the other, that break before anything is answered */

typedef struct PublishOptions {
        CommonOptions common;
        bool quiet;
} PublishOptions;

static const Option publish_options[] = {
        { "quiet", 'q', NULL, "Say nothing of events that were taken", OPTION_FLAG,
          offsetof(PublishOptions, quiet) },
        COMMON_OPTIONS(PublishOptions),
};

/* An event that was sent and is not answered. */
typedef struct Sent {
        ListLink link;
        unsigned long long line;
        json_t *parameters;
        bool again; /* it was sent twice */
} Sent;

typedef struct Publisher {
        const PublishOptions *options;
        ReeveConnection *connection;
        ListLink window; /* Sent */
        size_t n_window;
        unsigned n_futile;
        int status;                 /* of the first line that was refused, or 0 */
        unsigned long long refused; /* that line */

        Buffer input;
        size_t begin, looked; /* where the next line of it begins, and how far no end of that was seen */
        bool skipping;        /* the rest of a line that is too long */
        bool ended;
        unsigned long long
                        line; /* the last one that was taken from input; 0: the event is from the arguments */
} Publisher;

static Sent *sent_free(Sent *s)
{
        if (!s)
                return NULL;
        list_remove(&s->link);
        json_decref(s->parameters);
        free(s);
        return NULL;
}
DEFINE_CLEANUP_FUNC(Sent *, sent_free)

/* ---- what is said ---- */

static void print_json(const Publisher *p, unsigned long long line, json_t *members)
{
        _cleanup_json_ json_t *o = members;

        if (!o || (line > 0 && json_set_integer(o, "line", (int64_t)line) < 0))
                return;
        json_print(p->options->common.json, o);
}

static void complain(Publisher *p, unsigned long long line, const ReeveError *error)
{
        const ErrorTableEntry *entry = error_table_get(error->code);
        ReeveError e = *error;

        if (p->status == 0 || line < p->refused) {
                p->status = entry->exit_status;
                p->refused = line;
        }
        if (p->options->common.json != JSON_MODE_OFF)
                print_json(p, line,
                           json_pack("{s{ss ss ss*}}", "error", "name", entry->name, "message", e.text,
                                     "field", e.field[0] ? e.field : NULL));
        if (line > 0)
                fprintf(stderr, "reeve: line %llu: %s%s%s\n", line, e.field, e.field[0] ? ": " : "",
                        e.text[0] ? e.text : entry->text);
        else
                session_error(&e);
}

static void show(Publisher *p, unsigned long long line, json_t *answer)
{
        if (p->options->quiet)
                return;
        if (p->options->common.json != JSON_MODE_OFF)
                print_json(p, line, json_incref(answer));
        else
                printf("%s %s\n", json_get_string(answer, "task_id") ?: "?",
                       json_get_string(answer, "status") ?: "?");
        if (fflush(stdout) == EOF && p->status == 0)
                p->status = EX_IOERR;
}

/* ---- one event ---- */

/* Sent twice, it must be the same task. */
static int make_id(const char *topic, json_t *payload)
{
        const char *subsystem = json_get_string(payload, "subsystem"),
                   *type = json_get_string(payload, "task_type");
        char id[TASK_ID_MAX + 1];

        if (!streq(topic, "task.created") || json_object_get(payload, "task_id") || !subsystem || !type ||
            !task_name_is_valid(subsystem) || !task_name_is_valid(type))
                return 0;
        int r = task_id_make(subsystem, type, clock_realtime(clock_system()), id);
        return r < 0 ? r : json_set_string(payload, "task_id", id);
}

static int check_members(json_t *event, ReeveError *e)
{
        const char *member;
        json_t *value;

        json_object_foreach(event, member, value)
                if (!streq(member, "topic") && !streq(member, "payload"))
                        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, member,
                                               "an event has topic and payload, and no '%.64s'", member);
        if (!json_is_string(json_object_get(event, "topic")))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "topic", "must be a string");
        if (!json_is_object(json_object_get(event, "payload")))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "payload", "must be an object");
        return 0;
}

static int parse_event(const char *text, size_t size, json_t **ret, ReeveError *e)
{
        _cleanup_json_ json_t *event = NULL;

        int r = json_parse(text, size, EVENT_DEPTH, &event, e);
        if (r < 0)
                return r;
        if (!json_is_object(event))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, NULL,
                                       "an event is an object with topic and payload");
        if ((r = check_members(event, e)) < 0)
                return r;
        *ret = TAKE_PTR(event);
        return 0;
}

/* Steals the event. A connection that breaks shows when an answer is waited for. */
static int send_event(Publisher *p, json_t *event, ReeveError *e)
{
        _cleanup_(sent_freep) Sent *s = NEW0(Sent, 1);
        if (!s) {
                json_decref(event);
                return reeve_error_errno(e, ENOMEM, NULL, "cannot send another event");
        }
        s->line = p->line;
        s->parameters = event;
        int r = make_id(json_get_string(event, "topic"), json_object_get(event, "payload"));
        if (r < 0)
                return reeve_error_errno(e, r, NULL, "cannot make an id");
        r = reeve_send(p->connection, "Publish", event, false, e);
        if (r < 0 && r != -ECONNRESET)
                return r;
        list_append(&p->window, &s->link);
        p->n_window++;
        s = NULL;
        return 0;
}

/* ---- answers ---- */

static void take_answer(Publisher *p, json_t *answer, const ReeveError *error)
{
        _cleanup_(sent_freep) Sent *s = container_of(p->window.next, Sent, link);

        assert(p->n_window > 0);

        p->n_window--;
        p->n_futile = 0;
        if (!error)
                show(p, s->line, answer);
        else if (s->again && error->code == REEVE_ERROR_ALREADY_FINISHED)
                fprintf(stderr, "reeve: %s was sent to a registry that did not live to answer; now: %s\n",
                        json_get_string(s->parameters, "topic"), error->text);
        else
                complain(p, s->line, error);
}

static int send_again(Publisher *p, ReeveError *e)
{
        int r = 0;

        LIST_FOREACH(&p->window, link) {
                Sent *s = container_of(link, Sent, link);
                s->again = true;
                if (r >= 0)
                        r = reeve_send(p->connection, "Publish", s->parameters, false, e);
        }
        return r;
}

/* 0 when the window was sent over another connection. */
static int reconnect(Publisher *p, ReeveError *e)
{
        int r;

        do {
                if (++p->n_futile > FUTILE_MAX)
                        return reeve_error_set(e, REEVE_ERROR_UNAVAILABLE, NULL,
                                               "the registry ends the connection again and again");
                r = reeve_reconnect(p->connection, PATIENCE_USEC, e);
                if (r >= 0)
                        r = send_again(p, e);
        } while (r == -ECONNRESET);
        return r;
}

/* Takes all answers that are there. Negative if there will be no more. */
static int receive(Publisher *p, ReeveError *e)
{
        while (p->n_window > 0) {
                _cleanup_json_ json_t *answer = NULL;
                ReeveError error = REEVE_ERROR_NULL;

                int r = reeve_next(p->connection, 0, &answer, NULL, &error);
                if (r == 0)
                        return 0;
                if (r == -ECONNRESET) {
                        if ((r = reconnect(p, e)) < 0)
                                return r;
                } else
                        take_answer(p, answer, r < 0 ? &error : NULL);
        }
        return 0;
}

/* ---- lines ---- */

static bool is_blank(const char *text, size_t size)
{
        return strspn(text, " \t\r") >= size;
}

static int take_line(Publisher *p, const char *text, size_t size, ReeveError *e)
{
        ReeveError error = REEVE_ERROR_NULL;
        json_t *event = NULL;

        p->line++;
        if (p->skipping) {
                p->skipping = false;
                return 0;
        }
        if (is_blank(text, size))
                return 0;
        if (parse_event(text, size, &event, &error) < 0) {
                complain(p, p->line, &error);
                return 0;
        }
        return send_event(p, event, e);
}

static bool next_line(Publisher *p, const char **ret, size_t *ret_size)
{
        char *data = p->input.data;
        char *end = p->looked < p->input.size ? memchr(data + p->looked, '\n', p->input.size - p->looked)
                                              : NULL;

        if (!end) {
                p->looked = p->input.size;
                return false;
        }
        *end = '\0';
        *ret = data + p->begin;
        *ret_size = (size_t)(end - *ret);
        p->begin = p->looked = (size_t)(end + 1 - data);
        return true;
}

/* Sends the lines that are there, as far as the window goes. */
static int send_lines(Publisher *p, ReeveError *e)
{
        const char *text;
        size_t size;
        int r = 0;

        while (r >= 0 && p->n_window < WINDOW_MAX && next_line(p, &text, &size))
                r = take_line(p, text, size, e);
        return r;
}

/* Makes room: of what was sent, and of a line that is too long. */
static void drop_input(Publisher *p)
{
        ReeveError too_long = REEVE_ERROR_NULL;
        size_t n = p->begin;

        if (p->looked - p->begin > LINE_MAX_BYTES && !p->skipping) {
                reeve_error_set(&too_long, REEVE_ERROR_LIMIT_EXCEEDED, NULL, "has more than %u bytes",
                                LINE_MAX_BYTES);
                complain(p, p->line + 1, &too_long);
                p->skipping = true;
        }
        if (p->skipping)
                n = p->looked;
        buffer_consume(&p->input, n);
        p->looked -= n;
        p->begin = 0;
}

/* The last line may lack its end. */
static int read_input(Publisher *p, ReeveError *e)
{
        drop_input(p);
        int r = buffer_reserve(&p->input, READ_BYTES);
        if (r < 0)
                return reeve_error_errno(e, r, NULL, "cannot read");
        ssize_t n = read(STDIN_FILENO, p->input.data + p->input.size, READ_BYTES);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return 0;
        if (n < 0)
                return reeve_error_errno(e, errno, NULL, "cannot read standard input");
        p->input.size += (size_t)n;
        if (n > 0)
                return 0;
        p->ended = true;
        return p->input.size > 0 ? buffer_append(&p->input, "\n", 1) : 0;
}

static int wait_and_move(Publisher *p, ReeveError *e)
{
        bool reads = !p->ended && p->n_window < WINDOW_MAX;
        struct pollfd fds[] = {
                { .fd = p->n_window > 0 ? reeve_fd(p->connection) : -1,
                  .events = reeve_events(p->connection) },
                { .fd = reads ? STDIN_FILENO : -1, .events = POLLIN },
        };

        if (poll(fds, ELEMENTSOF(fds), -1) < 0)
                return errno == EINTR ? 0 : reeve_error_errno(e, errno, NULL, "cannot wait");
        int r = fds[0].revents ? receive(p, e) : 0;
        if (r >= 0 && fds[1].revents)
                r = read_input(p, e);
        return r;
}

static int publish_input(Publisher *p, ReeveError *e)
{
        int r = 0;

        while (r >= 0 && (!p->ended || p->n_window > 0 || p->begin < p->input.size)) {
                r = wait_and_move(p, e);
                if (r >= 0)
                        r = send_lines(p, e);
        }
        return r;
}

static int publish_one(Publisher *p, const char *topic, const char *text, ReeveError *e)
{
        _cleanup_json_ json_t *payload = NULL;

        int r = json_parse(text, strlen(text), EVENT_DEPTH, &payload, e);
        if (r < 0)
                return r;
        if (!json_is_object(payload))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "payload", "must be an object");
        json_t *event = json_pack("{ss sO}", "topic", topic, "payload", payload);
        if (!event)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "topic", "is not valid UTF-8");
        p->ended = true;
        r = send_event(p, event, e);
        return r < 0 ? r : publish_input(p, e);
}

static int publish(const char **args, size_t n_args, const void *options)
{
        Publisher p = { .options = options };
        ReeveError e = REEVE_ERROR_NULL;

        list_init(&p.window);
        if (n_args == 1) {
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "publish",
                                "an argument is missing, usage: reeve publish [TOPIC JSON]");
                return session_error(&e);
        }
        int status = session_connect(&p.connection);
        if (status != 0)
                return status;
        int r = n_args == 2 ? publish_one(&p, args[0], args[1], &e) : publish_input(&p, &e);
        if (r < 0)
                status = session_error(&e);
        if (r < 0 && p.n_window > 0)
                fprintf(stderr, "reeve: %zu events were not answered\n", p.n_window);
        for (ListLink *link; (link = list_pop(&p.window));)
                sent_free(container_of(link, Sent, link));
        buffer_done(&p.input);
        reeve_disconnect(p.connection);
        return p.status != 0 ? p.status : status;
}

const Verb verb_publish = {
        .name = "publish",
        .synopsis = "[TOPIC JSON]",
        .summary = "Hand events of others to the registry, from standard input a line of JSON each",
        .options = OPTION_TABLE(publish_options),
        .options_size = sizeof(PublishOptions),
        .max_args = 2,
        .handler = publish,
};

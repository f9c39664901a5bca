/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve logs: the captured output of a task, byte for byte.
 *
 * Without --follow: page by page to where the output of the attempt ends now. With it: one stream that goes on, through later
 * attempts, until the task has ended, resumed at the next byte when the registry is replaced meanwhile. --lines keeps the last lines seen so far in
 * memory, which the cap on output bounds. Bytes that were given up to that cap are announced on stderr. */

#include <errno.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "basic/time.h"
#include "cli/base64.h"
#include "cli/session.h"
#include "cli/value.h"
#include "cli/verb.h"
#include "common/json/json.h"

#define PATIENCE_USEC (60 * USEC_PER_SEC)

typedef struct LogsOptions {
        CommonOptions common;
        bool follow;
        OptionalNumber lines, attempt;
} LogsOptions;

static const Option logs_options[] = {
        { "follow", 'f', NULL, "Go on until the task has ended", OPTION_FLAG,
          offsetof(LogsOptions, follow) },
        { "lines", 'n', "NUMBER", "Begin with the last lines only", OPTION_PARSED,
          offsetof(LogsOptions, lines), parse_number },
        { "attempt", 0, "NUMBER", "Of this attempt (default: the last one)", OPTION_PARSED,
          offsetof(LogsOptions, attempt), parse_positive },
        COMMON_OPTIONS(LogsOptions),
};

typedef struct Logs {
        const LogsOptions *options;
        const char *task_id;
        ReeveConnection *connection;
        uint64_t attempt, offset; /* of the next byte; attempt 0: the last one */
        Buffer tail;              /* while the last lines are looked for */
        bool end;
} Logs;

static json_t *make_parameters(const Logs *l, bool follow)
{
        _cleanup_json_ json_t *p =
                        json_pack("{s:s, s:I}", "task_id", l->task_id, "offset", (json_int_t)l->offset);

        if (l->attempt > 0 && json_set_integer(p, "attempt", (int64_t)l->attempt) < 0)
                return NULL;
        if (follow && json_set_bool(p, "follow", true) < 0)
                return NULL;
        return TAKE_PTR(p);
}

/* Where the last n lines begin. */
static size_t last_lines(const char *data, size_t size, uint64_t n)
{
        size_t i = size;

        if (n == 0)
                return size;
        if (i > 0 && data[i - 1] == '\n')
                i--;
        for (; i > 0; i--)
                if (data[i - 1] == '\n' && --n == 0)
                        break;
        return i;
}

static int write_out(const void *data, size_t n)
{
        int r = fd_write_full(STDOUT_FILENO, data, n);
        if (r >= 0)
                return 0;
        fprintf(stderr, "reeve: cannot write to standard output: %s\n", strerrordesc_np(-r));
        return EX_IOERR;
}

/* One reply: JSON as it is, or its bytes, which go to the tail while that is wanted. */
static int take_reply(Logs *l, const json_t *reply, bool to_tail)
{
        _cleanup_free_ void *data = NULL;
        size_t n;

        if (base64_decode(json_get_string(reply, "data") ?: "", &data, &n) < 0) {
                fprintf(stderr, "reeve: the registry sent output that is not base64\n");
                return EX_PROTOCOL;
        }
        l->attempt = (uint64_t)json_get_integer(reply, "attempt", (int64_t)l->attempt);
        l->offset = (uint64_t)json_get_integer(reply, "offset", (int64_t)l->offset) + n;
        l->end = json_is_true(json_object_get(reply, "end")) || n == 0;

        if (l->options->common.json != JSON_MODE_OFF)
                return json_print(l->options->common.json, reply);
        int64_t dropped = json_get_integer(reply, "dropped", 0);
        if (dropped > 0)
                fprintf(stderr, "reeve: %" PRId64 " bytes of output were given up here\n", dropped);
        if (to_tail)
                return buffer_append(&l->tail, data, n) < 0 ? EX_OSERR : 0;
        return write_out(data, n);
}

/* What there is now. */
static int show_present(Logs *l, bool to_tail)
{
        int status = 0;

        while (status == 0 && !l->end) {
                _cleanup_json_ json_t *reply = NULL;
                status = session_call(l->connection, "Output", make_parameters(l, false), &reply);
                if (status == 0)
                        status = take_reply(l, reply, to_tail);
        }
        if (status != 0 || !to_tail || l->tail.size == 0)
                return status;
        size_t begin = last_lines(l->tail.data, l->tail.size, l->options->lines.value);
        return write_out(l->tail.data + begin, l->tail.size - begin);
}

/* The stream from l->offset on, until its end or a break. */
static int stream(Logs *l, int *ret_status, ReeveError *reterr)
{
        _cleanup_json_ json_t *parameters = make_parameters(l, true);
        bool final = false;

        if (!parameters)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot write a request");
        int r = reeve_send(l->connection, "Output", parameters, true, reterr);
        while (r >= 0 && !final && *ret_status == 0) {
                _cleanup_json_ json_t *reply = NULL;
                r = reeve_next(l->connection, REEVE_USEC_INFINITY, &reply, &final, reterr);
                if (r > 0)
                        *ret_status = take_reply(l, reply, false);
        }
        return r;
}

static int follow(Logs *l)
{
        ReeveError error = REEVE_ERROR_NULL;
        int status = 0;

        int r = stream(l, &status, &error);
        while (r == -ECONNRESET) {
                r = reeve_reconnect(l->connection, PATIENCE_USEC, &error);
                if (r >= 0)
                        r = stream(l, &status, &error);
        }
        return r < 0 ? session_error(&error) : status;
}

static int logs(const char **args, size_t n_args, const void *options)
{
        const LogsOptions *o = options;
        Logs l = { .options = o, .task_id = args[0], .attempt = o->attempt.set ? o->attempt.value : 0 };
        bool lines = l.options->lines.set && l.options->common.json == JSON_MODE_OFF;

        int status = session_connect(&l.connection);
        if (status == 0 && (lines || !l.options->follow))
                status = show_present(&l, lines);
        if (status == 0 && l.options->follow)
                status = follow(&l);
        reeve_disconnect(l.connection);
        buffer_done(&l.tail);
        return status;
}

const Verb verb_logs = {
        .name = "logs",
        .synopsis = "ID",
        .summary = "Show the output of a task",
        .options = OPTION_TABLE(logs_options),
        .options_size = sizeof(LogsOptions),
        .min_args = 1,
        .max_args = 1,
        .handler = logs,
};

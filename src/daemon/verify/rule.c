/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a rule wants, as the arguments of a program or as a comparison of figures.
 *
 * Which figures there are is model/task-metric.c's; how programs are run, and in whose rights, is the service's and the launcher's.
 *
 * What is not known is no pass: a rule that says "at most 30 s of CPU" was not met by a task of which nobody knows. */

#include "daemon/verify/rule.h"

#include <errno.h>
#include <string.h>

#include "basic/strings.h"
#include "common/json/json.h"
#include "daemon/model/task-metric.h"

static const char *const names[_VERIFY_KIND_MAX] = {
        [VERIFY_COMMAND] = "command",         [VERIFY_FILE] = "file",     [VERIFY_METRIC] = "metric",
        [VERIFY_EXIT_STATUS] = "exit_status", [VERIFY_OUTPUT] = "output", [VERIFY_REPORTED] = "reported",
};

const char *verify_kind_name(VerifyKind k)
{
        assert((unsigned)k < _VERIFY_KIND_MAX);
        return names[k];
}

bool verify_rule_is_program(const VerifyRule *r)
{
        assert(r);
        return r->kind == VERIFY_COMMAND || r->kind == VERIFY_FILE || r->kind == VERIFY_OUTPUT;
}

/* ---- programs ---- */

static int append(char ***argv, const char *format, ...) _printf_(2, 3);

static int append(char ***argv, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        int n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                return -ENOMEM;
        }
        return strv_append(argv, text);
}

static int append_file_options(char ***argv, const VerifyRule *r, usec_t started_realtime)
{
        int k = 0;

        if (r->has_min_bytes)
                k |= append(argv, "--min-bytes=%llu", (unsigned long long)r->min_bytes);
        if (r->has_max_bytes)
                k |= append(argv, "--max-bytes=%llu", (unsigned long long)r->max_bytes);
        if (r->newer_than_start)
                k |= append(argv, "--newer-than=%llu", (unsigned long long)started_realtime);
        if (r->sha256)
                k |= append(argv, "--sha256=%s", r->sha256);
        return k;
}

char **verify_rule_argv(const VerifyRule *r, usec_t started_realtime)
{
        _cleanup_(strv_freep) char **argv = NULL;
        int k = 0;

        assert(verify_rule_is_program(r));

        if (r->kind == VERIFY_COMMAND && r->authored > 0)
                return NEW0(char *, 1);
        if (r->kind == VERIFY_COMMAND) {
                for (const char *const *a = r->command; *a; a++)
                        k |= strv_append(&argv, *a);
        } else {
                k |= strv_append(&argv, VERIFY_PROGRAM);
                k |= strv_append(&argv, r->kind == VERIFY_FILE ? "file" : "output");
                if (r->kind == VERIFY_FILE)
                        k |= append_file_options(&argv, r, started_realtime);
                if (r->matches)
                        k |= append(&argv, "--matches=%s", r->matches);
                if (r->kind == VERIFY_FILE) {
                        k |= strv_append(&argv, "--");
                        k |= strv_append(&argv, r->path);
                }
        }
        return k < 0 ? NULL : TAKE_PTR(argv);
}

/* ---- figures ---- */

/* 0, or what json_set_*() says of a first failure. */
static int say_why(json_t *o, const char *why)
{
        return json_set_string(o, "why", why);
}

static int judge_metric(const VerifyRule *r, const TaskRow *t, json_t *o)
{
        double value = 0;
        bool known = task_metric(t, r->metric, &value), small = known && r->has_min && value < r->min,
             large = known && r->has_max && value > r->max;
        int k = json_set_string(o, "metric", r->metric);

        if (known)
                k |= json_set_real(o, "value", value);
        if (r->has_min)
                k |= json_set_real(o, "min", r->min);
        if (r->has_max)
                k |= json_set_real(o, "max", r->max);
        if (!known || small || large)
                k |= say_why(o, !known  ? "it is not known for this task"
                                : small ? "it is less than wanted"
                                        : "it is more than wanted");
        return k < 0 ? -ENOMEM : known && !small && !large;
}

static int judge_exit_status(const VerifyRule *r, const TaskRow *t, json_t *o)
{
        static const int zero[] = { 0 };
        const int *wanted = r->n_exit_statuses > 0 ? r->exit_statuses : zero;
        size_t n = r->n_exit_statuses > 0 ? r->n_exit_statuses : 1;
        bool exited = t->has_exit && t->exit_signal == 0, passes = false;
        int k = 0;

        for (size_t i = 0; i < n; i++)
                passes |= exited && wanted[i] == t->exit_status;
        if (exited)
                k |= json_set_integer(o, "exit_status", t->exit_status);
        if (!passes)
                k |= say_why(o, exited ? "it is another one" : "the task did not exit");
        return k < 0 ? -ENOMEM : passes;
}

static int judge_reported(const VerifyRule *r, int reported, json_t *o)
{
        bool passes = reported > 0 && !r->insufficient;
        int k = 0;

        if (reported >= 0)
                k |= json_set_bool(o, "reported", reported > 0);
        if (!passes)
                k |= say_why(o, reported < 0    ? "nobody reported that it was verified"
                                : reported == 0 ? "its reporter says that it was not"
                                                : "the policy does not accept its reporter's word alone");
        return k < 0 ? -ENOMEM : passes;
}

int verify_rule_judge(const VerifyRule *r, const TaskRow *t, int reported, json_t **ret)
{
        assert(r);
        assert(t);
        assert(ret);
        assert(!verify_rule_is_program(r));

        _cleanup_json_ json_t *o = json_object();
        if (!o)
                return -ENOMEM;
        int k = r->kind == VERIFY_METRIC        ? judge_metric(r, t, o)
                : r->kind == VERIFY_EXIT_STATUS ? judge_exit_status(r, t, o)
                                                : judge_reported(r, reported, o);
        if (k >= 0)
                *ret = TAKE_PTR(o);
        return k;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Policies are root's, so this parser is not attacked; but what it accepts decides about tasks, much later, and must not be able
 * to fail then. For any bytes: what is refused says why, with line and column. What is accepted applies to any task,
 * whoever asks for what: a ladder in order, values within their bounds, and a JSON text from which the same comes back,
 * value by value, under the same hash. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/strings.h"
#include "daemon/policy/policy-internal.h"
#include "tests/fuzz/fuzz.h"

static void check_refused(const ReeveError *e)
{
        unsigned line, column;

        assert(e->code == REEVE_ERROR_INVALID_ARGUMENT);
        assert(sscanf(e->text, "input:%u:%u: ", &line, &column) == 2);
        assert(line > 0 && column > 0);
        assert(!string_has_control(e->text, strlen(e->text)));
}

static void check_steps(const PolicyStep *steps, size_t n)
{
        assert(n <= POLICY_STEPS_MAX);
        for (size_t i = 0; i < n; i++) {
                assert(steps[i].what < _POLICY_STEP_DO_MAX);
                assert(steps[i].what != POLICY_STEP_SIGNAL || steps[i].signal > 0);
                assert(steps[i].what != POLICY_STEP_ESCALATE || steps[i].hook);
                assert(i == 0 || steps[i].at_permyriad > steps[i - 1].at_permyriad ||
                       (steps[i].at_permyriad == steps[i - 1].at_permyriad &&
                        steps[i].after_usec >= steps[i - 1].after_usec));
        }
}

static void check_task_policy(const TaskPolicy *t)
{
        LimitValue v;

        assert(t->priority >= 0 && t->priority <= t->priority_max && t->priority_max <= 10);
        assert(t->retry.attempts >= 1 && t->retry.backoff_usec <= t->retry.max_backoff_usec);
        assert(t->sampling.max_usec == 0 || t->sampling.min_usec <= t->sampling.max_usec);
        assert(t->verification.n_rules <= POLICY_RULES_MAX);
        check_steps(t->sla.steps, t->sla.n_steps);
        check_steps(t->stuck.steps, t->stuck.n_steps);
        for (size_t i = 0; i < t->verification.n_rules; i++)
                assert(t->verification.rules[i].name &&
                       t->verification.rules[i].kind < _POLICY_RULE_KIND_MAX);
        for (size_t i = 0; i < t->n_limits; i++)
                assert(limit_parse(limit_kind_find(t->limits[i].name), t->limits[i].value, &v) >= 0);
}

static void check_query(Policy *p, const PolicyQuery *q)
{
        _cleanup_(task_policy_unrefp) TaskPolicy *t = NULL, *back = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        if (policy_resolve(p, q, &t, &e) < 0) {
                assert(e.code == REEVE_ERROR_POLICY_VIOLATION || e.code == REEVE_ERROR_PERMISSION_DENIED);
                return;
        }
        check_task_policy(t);
        int r = task_policy_from_json(task_policy_json(t), &back, &e);
        assert(r >= 0);
        check_task_policy(back);
        assert(streq(t->hash, back->hash) && t->n_limits == back->n_limits && t->priority == back->priority);
        assert(t->sla.n_steps == back->sla.n_steps && t->sla.relative_usec == back->sla.relative_usec &&
               t->sla.absolute_realtime == back->sla.absolute_realtime);
        assert(t->verification.n_rules == back->verification.n_rules);
}

static void check_names(Policy *p, const char *subsystem, const char *type)
{
        PolicyLimit limit = { "MemoryMax", "1048576", { 0 } };
        PolicyQuery q = { .subsystem = subsystem, .task_type = type, .title = "Playbook: x", .uid = 1000 };

        check_query(p, &q);
        q.ask = true;
        check_query(p, &q);
        q.sla = "10min";
        q.priority = 3;
        q.backend = "cgroup";
        q.attempts = 2;
        q.limits = &limit;
        q.n_limits = 1;
        check_query(p, &q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(policy_unrefp) Policy *p = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        if (policy_parse("input", (const char *)data, size, &p, &e) < 0) {
                assert(!p);
                check_refused(&e);
                return 0;
        }
        json_t *all = policy_to_json(p);
        assert(all);
        json_decref(all);
        check_names(p, "elsewhere", "anything");
        HASH_FOREACH(p->subsystems, PolicyLayer, s) {
                check_names(p, s->name, "anything");
                HASH_FOREACH(s->task_types, PolicyLayer, t)
                        check_names(p, s->name, t->name);
        }
        return 0;
}

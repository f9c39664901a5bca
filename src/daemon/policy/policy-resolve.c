/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What applies to one task. The layers that match lie one over the other, each followed by the first of its cases that
 * matches:
 *
 *     built-in   defaults   subsystem   task type   what the caller asked for
 *
 * and of each key the topmost value counts (lists are replaced as a whole). `allow` is no different: the innermost one
 * decides.
 *
 * What the caller may ask for is decided by `overrides`, for each option by itself: "stricter" takes what is at least as
 * strict as the policy and refuses the rest, "allow" takes everything, "deny" refuses to be asked at all. Where the policy
 * says nothing, there is nothing to be stricter than. Two are not to be overridden by anything: priority_max, and the
 * attempts that the author sealed, of which fewer may be made but never more. Limits of the caller are in his
 * specification, which nobody can widen; so of limits only this remains to be done here: to drop the policy's own where
 * they may be overridden.
 *
 * Tasks are many, combinations of layers and wishes are few. Each is made once and remembered under the numbers of its
 * layers; the memory is bounded, and emptied when it is full. */

#include <errno.h>
#include <stdio.h>

#include "daemon/policy/policy-internal.h"

#define RESOLVED_MAX 512
#define LAYERS_MAX   7

typedef struct Resolved {
        char *key;
        TaskPolicy *p;
} Resolved;

typedef struct Wishes {
        YamlNode nodes[_POLICY_WISH_MAX]; /* text NULL: not asked for */
        char numbers[2][16];
        uint32_t dropped_limits; /* of the policy: 1 << index of limit_kind() */
} Wishes;

typedef struct Layers {
        const PolicyLayer *all[LAYERS_MAX];
        size_t n;
} Layers;

/* ---- which layers ---- */

static bool matches(const PolicyLayer *l, const PolicyQuery *q)
{
        char uid[16];

        if (l->title && !policy_glob_matches(l->title, q->title ?: ""))
                return false;
        if (l->created_by && !policy_glob_matches(l->created_by, q->created_by ?: ""))
                return false;
        snprintf(uid, sizeof(uid), "%u", (unsigned)q->uid);
        return !l->uid || policy_glob_matches(l->uid, uid);
}

static void add_layer(Layers *s, const PolicyLayer *l, const PolicyQuery *q)
{
        if (!l || !matches(l, q))
                return;
        s->all[s->n++] = l;
        for (size_t i = 0; i < l->n_cases; i++)
                if (matches(l->cases[i], q)) {
                        s->all[s->n++] = l->cases[i];
                        return;
                }
}

static void find_layers(const Policy *p, const PolicyQuery *q, Layers *ret)
{
        const PolicyLayer *subsystem = hash_get(p->subsystems, q->subsystem);

        *ret = (Layers){ 0 };
        add_layer(ret, p->builtin, q);
        add_layer(ret, p->defaults, q);
        if (subsystem) {
                add_layer(ret, subsystem, q);
                add_layer(ret, hash_get(subsystem->task_types, q->task_type), q);
        }
}

static const PolicyValue *find_value(const PolicyLayer *l, unsigned key)
{
        for (size_t i = 0; i < l->n_values; i++)
                if (l->values[i].key == key)
                        return l->values + i;
        return NULL;
}

static int check_allowed(const Layers *s, const PolicyQuery *q, ReeveError *reterr)
{
        for (size_t i = s->n; i-- > 0;) {
                const PolicyLayer *l = s->all[i];
                if (!l->has_allow)
                        continue;
                if (policy_allow_passes(&l->allow, q))
                        return 0;
                const PolicyValue *v = find_value(l, POLICY_KEY_ALLOW);
                assert(v);
                return reeve_error_set(
                                reterr, REEVE_ERROR_PERMISSION_DENIED, "subsystem",
                                "uid %u may not run '%s' tasks in subsystem '%s': 'allow' in %s line %u",
                                (unsigned)q->uid, q->task_type, q->subsystem, v->source->name,
                                v->node->place.line);
        }
        return 0;
}

/* ---- making a TaskPolicy ---- */

static const unsigned wish_keys[_POLICY_WISH_MAX] = {
        [POLICY_WISH_PRIORITY] = POLICY_KEY_PRIORITY,
        [POLICY_WISH_BACKEND] = POLICY_KEY_BACKEND,
        [POLICY_WISH_SLA] = POLICY_KEY_SLA_DEADLINE,
        [POLICY_WISH_ATTEMPTS] = POLICY_KEY_RETRY_ATTEMPTS,
};

static void choose(const Layers *s, const Wishes *w, PolicyChosen ret[static POLICY_KEYS_MAX])
{
        for (size_t i = 0; i < s->n; i++)
                for (size_t k = 0; k < s->all[i]->n_values; k++) {
                        const PolicyValue *v = s->all[i]->values + k;
                        ret[v->key] = (PolicyChosen){ v->node, v->source->name };
                }
        if (!w)
                return;
        for (int i = 0; i < POLICY_WISH_LIMITS; i++)
                if (w->nodes[i].text)
                        ret[wish_keys[i]] = (PolicyChosen){ w->nodes + i, "request" };
        for (unsigned i = 0; i < POLICY_LIMITS_MAX; i++)
                if (w->dropped_limits & UINT32_C(1) << i)
                        ret[POLICY_KEY_LIMITS + i] = (PolicyChosen){ 0 };
}

static int make(const Layers *s, const Wishes *w, TaskPolicy **ret, ReeveError *reterr)
{
        PolicyChosen chosen[POLICY_KEYS_MAX] = { 0 };
        int x;

        _cleanup_(task_policy_unrefp) TaskPolicy *p = task_policy_new();
        PolicyReader r = { .p = p, .source = "policy", .reterr = reterr };
        if (!p)
                return policy_oom(&r);
        choose(s, w, chosen);
        for (size_t id = 0; id < policy_n_keys(); id++) {
                if (!chosen[id].node)
                        continue;
                r.path = policy_key(id)->name;
                r.file = chosen[id].file;
                if ((x = policy_read(&r, id, chosen[id].node)) < 0)
                        return x;
        }
        policy_finish(p);
        if (policy_write_json(p, chosen) < 0)
                return policy_oom(&r);
        *ret = TAKE_PTR(p);
        return 0;
}

static char *make_key(const Layers *s, const Wishes *w)
{
        _cleanup_buffer_ Buffer b = { 0 };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < s->n; i++)
                r = buffer_printf(&b, "%u,", s->all[i]->number);
        for (int i = 0; r >= 0 && w && i < _POLICY_WISH_MAX; i++)
                r = buffer_printf(&b, "|%s", w->nodes[i].text ?: "");
        if (r >= 0 && w)
                r = buffer_printf(&b, "|%x", w->dropped_limits);
        return r < 0 ? NULL : buffer_take(&b);
}

static Resolved *resolved_free(Resolved *e)
{
        if (e) {
                task_policy_unref(e->p);
                free(e->key);
                free(e);
        }
        return NULL;
}
DEFINE_CLEANUP_FUNC(Resolved *, resolved_free)

void policy_resolved_clear(Policy *p)
{
        assert(p);

        HASH_FOREACH(p->resolved, Resolved, e) {
                hash_remove(p->resolved, e->key);
                resolved_free(e);
        }
}

/* The same as before, or a fresh one; borrowed from the Policy. */
static int remembered(Policy *p, const Layers *s, const Wishes *w, TaskPolicy **ret, ReeveError *reterr)
{
        _cleanup_(resolved_freep) Resolved *fresh = NEW0(Resolved, 1);
        if (!fresh || !(fresh->key = make_key(s, w)))
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot take another request");
        const Resolved *old = hash_get(p->resolved, fresh->key);
        if (old) {
                *ret = old->p;
                return 0;
        }
        int r = make(s, w, &fresh->p, reterr);
        if (r < 0)
                return r;
        if (hash_size(p->resolved) >= RESOLVED_MAX)
                policy_resolved_clear(p);
        if (hash_put(p->resolved, fresh->key, fresh) < 0)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot take another request");
        *ret = TAKE_PTR(fresh)->p;
        return 0;
}

/* ---- what the caller asks for ---- */

static PolicyOverride override_of(const TaskPolicy *base, PolicyWish w)
{
        return (PolicyOverride)base->storage->overrides[w];
}

/* "10-healing.yaml line 9" */
static const char *where(const PolicyOrigin *o, char *buffer, size_t size)
{
        if (o->file && o->file[0])
                snprintf(buffer, size, "%s line %u", o->file, o->line);
        else
                snprintf(buffer, size, "what is built in");
        return buffer;
}

static int violation(const char *option, const char *asked, const PolicyOrigin *o, ReeveError *reterr)
{
        char place[300];

        return reeve_error_set(reterr, REEVE_ERROR_POLICY_VIOLATION, option,
                               "%.100s is not certainly as strict as what %s sets, and callers may only be "
                               "stricter",
                               asked, where(o, place, sizeof(place)));
}

static int denied(const char *option, ReeveError *reterr)
{
        return reeve_error_set(reterr, REEVE_ERROR_POLICY_VIOLATION, option,
                               "the policy does not let callers choose this");
}

static int wish_priority(const TaskPolicy *base, const PolicyQuery *q, Wishes *w, ReeveError *reterr)
{
        char *text = w->numbers[0], place[300];

        if (q->priority == 0)
                return 0;
        snprintf(text, sizeof(w->numbers[0]), "%d", q->priority);
        if (q->priority > base->priority_max)
                return reeve_error_set(reterr, REEVE_ERROR_POLICY_VIOLATION, "priority",
                                       "%d is above %d, the most that %s allows", q->priority,
                                       base->priority_max,
                                       where(&base->storage->priority_max_origin, place, sizeof(place)));
        if (override_of(base, POLICY_WISH_PRIORITY) == POLICY_OVERRIDE_DENY)
                return denied("priority", reterr);
        if (override_of(base, POLICY_WISH_PRIORITY) == POLICY_OVERRIDE_STRICTER && base->priority > 0 &&
            q->priority > base->priority)
                return violation("priority", text, &base->storage->priority_origin, reterr);
        w->nodes[POLICY_WISH_PRIORITY].text = text;
        return 0;
}

static int wish_backend(const TaskPolicy *base, const PolicyQuery *q, Wishes *w, ReeveError *reterr)
{
        if (!q->backend || !q->backend[0])
                return 0;
        if (override_of(base, POLICY_WISH_BACKEND) == POLICY_OVERRIDE_DENY)
                return denied("backend", reterr);
        if (override_of(base, POLICY_WISH_BACKEND) == POLICY_OVERRIDE_STRICTER && base->backend &&
            !streq(q->backend, base->backend))
                return violation("backend", q->backend, &base->storage->backend_origin, reterr);
        w->nodes[POLICY_WISH_BACKEND].text = (char *)q->backend;
        return 0;
}

/* Is `asked` certainly not later than `set`? Only what is said in the same way can be compared. */
static bool is_earlier(const PolicySla *asked, const PolicySla *set)
{
        if (!asked->has_deadline)
                return false;
        if (asked->forecast_p95_factor > 0 || set->forecast_p95_factor > 0)
                return asked->forecast_p95_factor > 0 &&
                       asked->forecast_p95_factor <= set->forecast_p95_factor;
        if (asked->absolute_realtime > 0 || set->absolute_realtime > 0)
                return asked->absolute_realtime > 0 && asked->absolute_realtime <= set->absolute_realtime;
        return asked->relative_usec <= set->relative_usec;
}

static int wish_sla(const TaskPolicy *base, const PolicyQuery *q, Wishes *w, ReeveError *reterr)
{
        PolicySla asked = { 0 };

        if (!q->sla || !q->sla[0])
                return 0;
        if (policy_parse_deadline(q->sla, &asked) < 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "sla",
                                       "must be %s, not '%.64s'", POLICY_DEADLINE_EXPECTED, q->sla);
        if (override_of(base, POLICY_WISH_SLA) == POLICY_OVERRIDE_DENY)
                return denied("sla", reterr);
        if (override_of(base, POLICY_WISH_SLA) == POLICY_OVERRIDE_STRICTER && base->sla.has_deadline &&
            !is_earlier(&asked, &base->sla))
                return violation("sla", q->sla, &base->sla.origin, reterr);
        w->nodes[POLICY_WISH_SLA].text = (char *)q->sla;
        return 0;
}

static int wish_attempts(const TaskPolicy *base, const PolicyQuery *q, Wishes *w, ReeveError *reterr)
{
        PolicyOverride o = override_of(base, POLICY_WISH_ATTEMPTS);
        bool is_set = base->retry.origin.file;

        if (q->attempts == 0)
                return 0;
        if (o == POLICY_OVERRIDE_DENY)
                return denied("attempts", reterr);
        if (o == POLICY_OVERRIDE_STRICTER && is_set && q->attempts >= base->retry.attempts)
                return 0;
        snprintf(w->numbers[1], sizeof(w->numbers[1]), "%u", MIN(q->attempts, 1000U));
        w->nodes[POLICY_WISH_ATTEMPTS].text = w->numbers[1];
        return 0;
}

static int wish_limit(const TaskPolicy *base, const PolicyLimit *asked, Wishes *w, ReeveError *reterr)
{
        PolicyOverride o = override_of(base, POLICY_WISH_LIMITS);
        const LimitKind *kind = limit_kind_find(asked->name);
        LimitValue wanted, set;

        if (o == POLICY_OVERRIDE_DENY)
                return denied(asked->name, reterr);
        if (!kind || limit_parse(kind, asked->value, &wanted) < 0)
                return 0; /* the launcher has the words for it */
        for (size_t i = 0; i < base->n_limits; i++) {
                const PolicyLimit *l = base->limits + i;
                if (!streq(l->name, asked->name) || limit_parse(kind, l->value, &set) < 0 ||
                    !streq(wanted.device, set.device))
                        continue;
                if (o == POLICY_OVERRIDE_ALLOW) {
                        for (unsigned k = 0; limit_kind(k); k++)
                                if (limit_kind(k) == kind)
                                        w->dropped_limits |= UINT32_C(1) << k;
                } else if (!streq(wanted.list, set.list) || wanted.amount > set.amount)
                        return violation(asked->name, asked->value, &l->origin, reterr);
        }
        return 0;
}

static int collect_wishes(const TaskPolicy *base, const PolicyQuery *q, Wishes *w, ReeveError *reterr)
{
        int r;

        if ((r = wish_priority(base, q, w, reterr)) < 0 || (r = wish_backend(base, q, w, reterr)) < 0 ||
            (r = wish_sla(base, q, w, reterr)) < 0 || (r = wish_attempts(base, q, w, reterr)) < 0)
                return r;
        for (size_t i = 0; i < q->n_limits; i++)
                if ((r = wish_limit(base, q->limits + i, w, reterr)) < 0)
                        return r;
        if (q->other_limit && override_of(base, POLICY_WISH_LIMITS) == POLICY_OVERRIDE_DENY)
                return denied(q->other_limit, reterr);
        return 0;
}

int policy_resolve(Policy *p, const PolicyQuery *q, TaskPolicy **ret, ReeveError *reterr)
{
        TaskPolicy *base = NULL, *final = NULL;
        Wishes w = { 0 };
        bool asks = false;
        Layers s;
        int r;

        assert(p);
        assert(q && q->subsystem && q->task_type);
        assert(ret);

        find_layers(p, q, &s);
        if ((!q->ask && (r = check_allowed(&s, q, reterr)) < 0) ||
            (r = remembered(p, &s, NULL, &base, reterr)) < 0)
                return r;
        _cleanup_(task_policy_unrefp) TaskPolicy *kept =
                        task_policy_ref(base); /* the next may empty the memory */
        if ((r = collect_wishes(kept, q, &w, reterr)) < 0)
                return r;
        for (int i = 0; i < _POLICY_WISH_MAX; i++)
                asks |= w.nodes[i].text != NULL;
        if (!asks && !w.dropped_limits) {
                *ret = TAKE_PTR(kept);
                return 0;
        }
        if ((r = remembered(p, &s, &w, &final, reterr)) < 0)
                return r;
        *ret = task_policy_ref(final);
        return 0;
}

bool policy_lets_extend(Policy *p, const PolicyQuery *q)
{
        TaskPolicy *base;
        Layers s;

        assert(p);
        assert(q && q->subsystem && q->task_type);

        find_layers(p, q, &s);
        if (remembered(p, &s, NULL, &base, NULL) < 0)
                return false;
        PolicyOverride o = override_of(base, POLICY_WISH_SLA);
        return o == POLICY_OVERRIDE_ALLOW || (o == POLICY_OVERRIDE_STRICTER && !base->sla.has_deadline);
}

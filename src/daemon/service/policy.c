/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The policy in force, and how it is replaced.
 *
 * Files are read on a reader thread, never on the loop: names of users may have to come from a directory server. Whoever
 * asks for a reload is answered with the load that began after he asked: files that he changed before are in it. What
 * does not load leaves the old policy in force, and the error goes to the journal and into the answer.
 *
 * At the start there may be no old policy. Then reeved serves all the same: running tasks must be supervised, with the
 * policies that the database has of them, and stopping everything would punish those who did nothing wrong. But without a
 * policy nothing new may begin, lest a typing error lift every limit: new work is refused with PolicyViolation, which names
 * the file and the line (docs/adr/0010).
 *
 * A task keeps the policy that it was created with. It is stored under its hash, once; after a restart the tasks that
 * share one share it again. */

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "basic/log.h"
#include "common/json/json.h"
#include "daemon/service/service-internal.h"

struct ServicePolicyLoad {
        Service *service;
        char directory[PATH_MAX];
        Policy *policy;
        ReeveError error;
};

/* Somebody who waits for the end of a load. */
typedef struct PolicyWaiter {
        ListLink link;
        int64_t uid; /* -1: a signal */
        service_done_t callback;
        void *userdata;
} PolicyWaiter;

/* ---- loading ---- */

static void load_free(ServicePolicyLoad *l)
{
        if (l)
                policy_unref(l->policy);
        free(l);
}
DEFINE_CLEANUP_FUNC(ServicePolicyLoad *, load_free)

static ServicePolicyLoad *load_new(Service *s)
{
        ServicePolicyLoad *l = NEW0(ServicePolicyLoad, 1);
        if (l) {
                l->service = s;
                instance_path(&s->instance, INSTANCE_POLICY, l->directory, sizeof(l->directory));
        }
        return l;
}

/* On a reader thread, but at the start. */
static int load(void *userdata)
{
        ServicePolicyLoad *l = ASSERT_PTR(userdata);
        return policy_load(l->directory, &l->policy, &l->error);
}

static void on_noted(const ReeveError *error, int64_t last_event, void *userdata)
{
        Service *s = ASSERT_PTR(userdata);

        if (error)
                log_full_reeve_error(LOG_WARNING, error, "the log does not have the policy");
        s->last_event = MAX(s->last_event, last_event);
}

/* What was in force when, and who asked for it, is for the immutable log to say. Takes `detail`. */
static void note(Service *s, const char *topic, json_t *detail)
{
        _cleanup_(store_write_freep) StoreWrite *w = store_write_new(s->store, 0, on_noted, s);
        _cleanup_free_ char *text = detail ? json_format(detail) : NULL;
        EventRow e = { .realtime = clock_realtime(s->clock), .topic = (char *)topic, .detail = text };

        json_decref(detail);
        if (!w || !text || store_write_event(w, &e) < 0 || store_write_submit(TAKE_PTR(w)) < 0)
                log_warning("the log does not have the policy: out of memory");
}

static json_t *callers_to_json(const ListLink *waiters)
{
        json_t *uids = json_array();

        LIST_FOREACH((ListLink *)waiters, link) {
                const PolicyWaiter *w = container_of(link, PolicyWaiter, link);
                if (w->uid >= 0)
                        json_array_append_new(uids, json_integer(w->uid));
        }
        return uids;
}

static json_t *files_to_json(const Policy *p)
{
        const char *const *files = NULL;
        size_t n = p ? policy_files(p, &files) : 0;
        json_t *a = json_array();

        for (size_t i = 0; i < n; i++)
                json_array_append_new(a, json_string(files[i]));
        return a;
}

static void take_over(Service *s, ServicePolicyLoad *l)
{
        s->policy.error = l->error;
        if (!l->policy) {
                log_full_reeve_error(LOG_ERR, &l->error,
                                     s->policy.current ? "the policy stays as it is"
                                                       : "there is no policy, new work is refused");
                if (s->reports.policy_refused)
                        s->reports.policy_refused(&l->error, s->reports.userdata);
                note(s, "policy.refused",
                     json_pack("{ss so}", "problem", l->error.text, "uids",
                               callers_to_json(&s->policy.served)));
                return;
        }
        policy_unref(s->policy.current);
        s->policy.current = TAKE_PTR(l->policy);
        s->policy.loaded_realtime = clock_realtime(s->clock);
        service_queue_limit(s);
        const char *const *files;
        size_t n = policy_files(s->policy.current, &files);
        log_info("policy %.12s in force, of %zu files", policy_hash(s->policy.current), n);
        if (n == 0 && list_is_empty(&s->policy.served)) /* a start without files */
                return;
        note(s, "policy.loaded",
             json_pack("{ss so so}", "hash", policy_hash(s->policy.current), "files",
                       files_to_json(s->policy.current), "uids", callers_to_json(&s->policy.served)));
}

void service_load_policy(Service *s)
{
        assert(s);

        _cleanup_(load_freep) ServicePolicyLoad *l = load_new(s);
        if (!l) {
                reeve_error_errno(&s->policy.error, ENOMEM, NULL, "cannot read the policy");
                return;
        }
        load(l);
        take_over(s, l);
}

static void answer_all(ListLink *waiters, const ReeveError *error)
{
        ListLink *link;

        while ((link = list_pop(waiters))) {
                _cleanup_free_ PolicyWaiter *w = container_of(link, PolicyWaiter, link);
                w->callback(error, w->userdata);
        }
}

static void begin_load(Service *s);

static void on_loaded(int result, void *userdata)
{
        ServicePolicyLoad *l = ASSERT_PTR(userdata);
        Service *s = l->service;

        take_over(s, l);
        answer_all(&s->policy.served, result < 0 ? &l->error : NULL);
        s->policy.load = NULL; /* not before: who asks again from a callback must wait for the next load */
        load_free(l);
        if (!list_is_empty(&s->policy.waiting))
                begin_load(s);
}

static void begin_load(Service *s)
{
        ReeveError e = REEVE_ERROR_NULL;

        list_splice(&s->policy.served, &s->policy.waiting);
        s->policy.load = load_new(s);
        int r = s->policy.load ? store_work(s->store, load, on_loaded, s->policy.load) : -ENOMEM;
        if (r >= 0)
                return;
        load_free(TAKE_PTR(s->policy.load));
        reeve_error_errno(&e, r, NULL, "cannot read the policy now");
        log_full_reeve_error(LOG_ERR, &e, "the policy stays as it is");
        answer_all(&s->policy.served, &e);
}

static void ignore_answer(const ReeveError *error, void *userdata) {}

void service_reload_policy(Service *s, const Caller *caller, service_done_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);

        if (caller && !caller->admin)
                reeve_error_set(&e, REEVE_ERROR_PERMISSION_DENIED, NULL,
                                "only root and group reeve-admin may reload the policy");
        PolicyWaiter *w = e.code == REEVE_ERROR_NONE ? NEW0(PolicyWaiter, 1) : NULL;
        if (!w) {
                if (e.code == REEVE_ERROR_NONE)
                        reeve_error_errno(&e, ENOMEM, NULL, "cannot read the policy");
                if (callback)
                        callback(&e, userdata);
                return;
        }
        w->callback = callback ?: ignore_answer;
        w->userdata = userdata;
        w->uid = caller ? (int64_t)caller->uid : -1;
        list_append(&s->policy.waiting, &w->link);
        if (!s->policy.load)
                begin_load(s);
}

/* ---- telling ---- */

static json_t *explained(const char *hash, const char *text)
{
        _cleanup_json_ json_t *policy = json_loads(text, 0, NULL);
        json_t *o = NULL;

        if (policy) {
                o = json_pack("{ss sO sO}", "hash", hash, "policy", policy, "origins",
                              json_object_get(policy, "origins"));
                json_object_del(policy, "origins");
        }
        return o;
}

static void answer_explained(const char *hash, const char *text, service_json_t callback, void *userdata)
{
        _cleanup_json_ json_t *o = explained(hash, text);
        ReeveError e = REEVE_ERROR_NULL;

        if (!o)
                reeve_error_errno(&e, ENOMEM, NULL, "cannot explain");
        callback(o ? NULL : &e, o, userdata);
}

typedef struct ExplainOp {
        service_json_t callback;
        void *userdata;
} ExplainOp;

static void on_policy_of_task(const ReeveError *error, const char *hash, const char *policy, void *userdata)
{
        _cleanup_free_ ExplainOp *op = ASSERT_PTR(userdata);
        ReeveError e = REEVE_ERROR_NULL;

        if (!error && !hash) {
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT, "task_id",
                                "the task was created without a policy");
                error = &e;
        }
        if (error)
                op->callback(error, NULL, op->userdata);
        else
                answer_explained(hash, policy, op->callback, op->userdata);
}

/* From the database, where open tasks have theirs too: reading is not worth a short cut. */
static void explain_task(Service *s, const char *task_id, service_json_t callback, void *userdata)
{
        ReeveError e = REEVE_ERROR_NULL;

        ExplainOp *op = NEW(ExplainOp, 1);
        if (op)
                *op = (ExplainOp){ callback, userdata };
        int r = op ? store_policy(s->store, task_id, on_policy_of_task, op) : -ENOMEM;
        if (r >= 0)
                return;
        free(op);
        reeve_error_errno(&e, r, NULL, "cannot explain");
        callback(&e, NULL, userdata);
}

void service_explain_policy(Service *s, const Caller *caller, const ExplainRequest *request,
                            service_json_t callback, void *userdata)
{
        _cleanup_(task_policy_unrefp) TaskPolicy *p = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        assert(s);
        assert(caller);
        assert(request);
        assert(callback);

        if (request->task_id) {
                explain_task(s, request->task_id, callback, userdata);
                return;
        }
        Caller whom = *caller;
        if (request->uid >= 0)
                whom.uid = (uid_t)request->uid;
        PolicyQuery q = { .subsystem = request->subsystem,
                          .task_type = request->task_type,
                          .title = request->title,
                          .created_by = request->created_by,
                          .ask = true };
        if (!request->subsystem || !request->task_type)
                reeve_error_set(&e, REEVE_ERROR_INVALID_ARGUMENT,
                                request->subsystem ? "task_type" : "subsystem",
                                "must be given, unless a task is named");
        else
                service_resolve_policy(s, &whom, &q, &p, &e);
        if (p)
                answer_explained(p->hash, task_policy_json(p), callback, userdata);
        else
                callback(&e, NULL, userdata);
}

json_t *service_policy_to_json(const Service *s, bool with_values)
{
        char directory[PATH_MAX];

        assert(s);

        const Policy *p = s->policy.current;
        instance_path(&s->instance, INSTANCE_POLICY, directory, sizeof(directory));
        _cleanup_json_ json_t *o = json_pack("{ss so}", "directory", directory, "files", files_to_json(p));
        if (!o || (p && json_set_string(o, "hash", policy_hash(p)) < 0) ||
            (p && json_set_integer(o, "loaded_at", (int64_t)s->policy.loaded_realtime) < 0) ||
            (s->policy.error.code != REEVE_ERROR_NONE &&
             json_set_string(o, "problem", s->policy.error.text) < 0) ||
            (p && with_values && json_object_set_new(o, "policy", policy_to_json(p)) < 0))
                return NULL;
        return TAKE_PTR(o);
}

void service_drop_policy(Service *s)
{
        ListLink *link;

        assert(s);

        while ((link = list_pop(&s->policy.served)) || (link = list_pop(&s->policy.waiting)))
                free(container_of(link, PolicyWaiter, link));
        load_free(TAKE_PTR(s->policy.load));
        s->policy.current = policy_unref(s->policy.current);
}

/* ---- what applies to a task ---- */

int service_resolve_policy(Service *s, const Caller *caller, PolicyQuery *q, TaskPolicy **ret,
                           ReeveError *reterr)
{
        assert(s);
        assert(caller);
        assert(q);

        if (!s->policy.current)
                return reeve_error_set(reterr, REEVE_ERROR_POLICY_VIOLATION, NULL,
                                       "no policy is in force, new work is refused until this loads: %s",
                                       s->policy.error.text);
        q->uid = caller->uid;
        q->groups = caller->groups;
        q->n_groups = caller->n_groups;
        return policy_resolve(s->policy.current, q, ret, reterr);
}

int service_write_policy(StoreWrite *w, const TaskPolicy *p)
{
        assert(w);

        return p && !p->stored ? store_write_policy(w, p->hash, task_policy_json(p)) : 0;
}

void service_policy_stored(TaskPolicy *p)
{
        if (p)
                p->stored = true;
}

void service_release_task(Task *t)
{
        assert(t);
        t->policy = task_policy_unref(t->policy);
        service_release_hook(t);
        service_release_queue(t);
        service_release_report(t);
}

/* ---- after a restart ---- */

TaskPolicy *service_recover_policy(Hash *known, const char *hash, const char *text)
{
        ReeveError e = REEVE_ERROR_NULL;

        assert(known);

        if (!hash || !text)
                return NULL;
        TaskPolicy *p = hash_get(known, hash);
        if (p)
                return task_policy_ref(p);
        if (task_policy_from_json(text, &p, &e) < 0) {
                log_full_reeve_error(LOG_WARNING, &e, "a stored policy cannot be read");
                return NULL;
        }
        p->stored = true;
        if (hash_put(known, p->hash, p) >= 0)
                task_policy_ref(p);
        return p;
}

void service_forget_recovered(Hash *known)
{
        HASH_FOREACH(known, TaskPolicy, p)
                task_policy_unref(p);
        hash_free(known);
}

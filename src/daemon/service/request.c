/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Looking at a request before anything is done about it. Its texts come from the call, everything about the process from the
 * sealed specification, which is read once, into memory of our own: what is checked here is what is stored and hashed.
 *
 * The launcher checks the specification again, with its own eyes; what is found here is found early, and named better. What
 * needs the database (is the id taken?) or the launcher (may this be run?) is not decided here.
 *
 * argv and cwd of a specification are bytes. The row shows them with U+FFFD for what is not UTF-8; the program gets them
 * as they are. */

#include "daemon/service/request.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/json/json.h"
#include "common/spec/spec.h"

RunOp *run_op_free(RunOp *op)
{
        if (!op)
                return NULL;
        task_row_done(&op->row);
        task_policy_unref(op->policy);
        free(op->spec);
        fd_close(op->spec_fd);
        for (size_t i = 0; i < op->n_stdio_fds; i++)
                fd_close(op->stdio_fds[i]);
        free(op->stdio_fds);
        free(op);
        return NULL;
}
static int check_text(const char *field, const char *text, size_t max, ReeveError *reterr)
{
        if (text && strlen(text) > max)
                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, field, "longer than %zu bytes",
                                       max);
        return 0;
}

/* What is nested deeper could be stored, but not shown. */
static int check_depth(const char *metadata, ReeveError *reterr)
{
        _cleanup_json_ json_t *value = NULL;

        if (metadata && json_parse(metadata, strlen(metadata), TASK_METADATA_DEPTH, &value, NULL) < 0)
                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, "metadata",
                                       "nested deeper than %d", TASK_METADATA_DEPTH);
        return 0;
}

/* _RECORD_BACKEND_MAX: there is none of that name. */
static RecordBackend backend_from_name(const char *name)
{
        RecordBackend b = 0;

        while (b < _RECORD_BACKEND_MAX && !streq(record_backend_name(b), name))
                b++;
        return b;
}

/* What was asked for, or what the specification cannot do without; NULL: neither. A process is attached to a cgroup of the
 * pool, whatever else the policy has for tasks of its kind. */
static int wanted_backend(const RunRequest *q, const Spec *spec, const char **ret, ReeveError *reterr)
{
        const char *scope = spec_wants_scope(spec) ? record_backend_name(RECORD_BACKEND_SCOPE) : NULL;

        *ret = q->attach                     ? record_backend_name(RECORD_BACKEND_CGROUP)
               : q->backend && q->backend[0] ? q->backend
                                             : scope;
        if (scope && !streq(*ret, scope))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "backend",
                                       "a slice and unit properties want backend scope, not %s", *ret);
        return 0;
}

static int choose_backend(TaskRow *row, const TaskPolicy *p, const RunRequest *q, const Caller *caller,
                          ReeveError *reterr)
{
        row->has_backend = p->backend;
        row->backend = p->backend ? backend_from_name(p->backend) : RECORD_BACKEND_CGROUP;
        /* Elsewhere weights compete among the tasks of one uid, in a scope with everybody's. */
        if (row->backend == RECORD_BACKEND_SCOPE && q->priority > TASK_PRIORITY_NORMAL && caller->uid != 0)
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, "priority",
                                       "above %d it is for root to give to a scope", TASK_PRIORITY_NORMAL);
        return 0;
}

static int check_after(const json_t *ids, ReeveError *reterr)
{
        const json_t *id;
        size_t i;

        if (json_array_size(ids) > TASK_AFTER_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, "after",
                                       "at most %d tasks, not %zu", TASK_AFTER_MAX, json_array_size(ids));
        json_array_foreach((json_t *)ids, i, id)
                if (!json_is_string(id) || !task_id_is_valid(json_string_value(id)))
                        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "after",
                                               "entry %zu is not the id of a task", i + 1);
        return 0;
}

static int check_unique(const RunRequest *q, ReeveError *reterr)
{
        if (q->unique && (!q->unique[0] || strlen(q->unique) > TASK_UNIQUE_MAX))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "unique",
                                       "must be 1 to %d bytes", TASK_UNIQUE_MAX);
        if (q->join && !q->unique)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "unique_mode",
                                       "means nothing without a key");
        return 0;
}

int run_request_check(const RunRequest *q, ReeveError *reterr)
{
        int r;

        assert(q);

        if (!q->subsystem || !task_name_is_valid(q->subsystem))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "subsystem",
                                       "must be 1 to %d letters, digits, _ or -, the first not _ or -",
                                       TASK_NAME_MAX);
        if (!q->task_type || !task_name_is_valid(q->task_type))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "task_type",
                                       "must be 1 to %d letters, digits, _ or -, the first not _ or -",
                                       TASK_NAME_MAX);
        if (q->priority != 0 && (q->priority < TASK_PRIORITY_MIN || q->priority > TASK_PRIORITY_MAX))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "priority",
                                       "must be %d to %d, not %d", TASK_PRIORITY_MIN, TASK_PRIORITY_MAX,
                                       q->priority);
        if (q->backend && !streq(q->backend, "") && backend_from_name(q->backend) == _RECORD_BACKEND_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "backend",
                                       "must be cgroup, scope or process, not '%.32s'", q->backend);
        if ((r = check_text("title", q->title, TASK_TITLE_MAX, reterr)) < 0 ||
            (r = check_text("description", q->description, TASK_DESCRIPTION_MAX, reterr)) < 0 ||
            (r = check_text("created_by", q->created_by, TASK_CREATED_BY_MAX, reterr)) < 0 ||
            (r = check_text("sla", q->sla, TASK_SLA_MAX, reterr)) < 0 ||
            (r = check_text("metadata", q->metadata, TASK_METADATA_MAX, reterr)) < 0 ||
            (r = check_depth(q->metadata, reterr)) < 0 || (r = check_after(q->after, reterr)) < 0 ||
            (r = check_unique(q, reterr)) < 0)
                return r;
        return 0;
}

/* Somebody must listen now, so that nothing is made for a task whose output has nowhere to go. The task connects for
 * itself; this connection says nothing and leaves no trace. */
static int check_journal(ReeveError *reterr)
{
        const struct sockaddr_un address = { AF_UNIX, SPEC_JOURNAL_SOCKET };

        _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return reeve_error_errno(reterr, errno, "stdio", "cannot look for journald");
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) >= 0 || errno == EAGAIN)
                return 0;
        return reeve_error_set(reterr, REEVE_ERROR_UNAVAILABLE, "stdio",
                               "no journald takes output at " SPEC_JOURNAL_SOCKET " (%s)",
                               strerrordesc_np(errno) ?: "?");
}

static bool wants_journal(const Spec *spec)
{
        for (int i = 0; i < SPEC_STDIO_COUNT; i++)
                if (spec->stdio[i].kind == SPEC_STDIO_JOURNAL)
                        return true;
        return false;
}

static int check_method(const Spec *spec, const RunOp *q, ReeveError *reterr)
{
        if ((spec->attach.pid > 0) == q->attach)
                return 0;
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "spec",
                               q->attach ? "the specification names no running process, but a command"
                                         : "the specification names a running process: that is for Attach");
}

static int check_stdio(const Spec *spec, const RunOp *q, ReeveError *reterr)
{
        size_t k = 0;

        for (int i = 0; i < SPEC_STDIO_COUNT; i++) {
                if (spec->stdio[i].kind != SPEC_STDIO_FD)
                        continue;
                if (k >= q->n_stdio_fds)
                        return reeve_error_set(
                                        reterr, REEVE_ERROR_INVALID_ARGUMENT, "stdio",
                                        "the specification names more descriptors than came with the call");
                int r = spec_stdio_matches(spec->stdio + i, q->stdio_fds[k++]);
                if (r < 0)
                        return reeve_error_errno(reterr, r, "stdio", "cannot look at descriptor %d", i);
                if (r == 0)
                        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "stdio",
                                               "descriptor %d is not the one that the specification names",
                                               i);
        }
        if (k != q->n_stdio_fds)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "stdio",
                                       "%zu descriptors came with the call, the specification names %zu",
                                       q->n_stdio_fds, k);
        return wants_journal(spec) ? check_journal(reterr) : 0;
}

/* At most that many bytes has an argument as JSON: each byte may become an escape of six. */
static size_t shown_bytes(const char *argument)
{
        return 6 * strlen(argument) + 3;
}

/* argv as JSON, for people; the specification keeps it as it is. Bytes that are no UTF-8 are shown as U+FFFD,
 * and of a very long command the beginning, then "...". */
static char *argv_text(const Spec *spec)
{
        _cleanup_json_ json_t *array = json_array();
        size_t left = TASK_ARGV_SHOWN_MAX - sizeof("[\"...\"]");

        if (!array)
                return NULL;
        for (size_t i = 0; i < spec->n_argv; i++) {
                const char *argument = spec->argv[i];
                bool fits = shown_bytes(argument) <= left;

                if (json_array_append_new(array, fits ? json_string_lossy(argument, strlen(argument))
                                                      : json_string("...")) < 0)
                        return NULL;
                if (!fits)
                        break;
                left -= shown_bytes(argument);
        }
        return json_format(array);
}

static int copy_string(char **to, const char *from)
{
        if (!from)
                return 0;
        *to = strdup(from);
        return *to ? 0 : -ENOMEM;
}

/* cwd of a specification may be any bytes; the row wants UTF-8. */
static char *lossy_text(const char *text)
{
        _cleanup_json_ json_t *j = json_string_lossy(text, strlen(text));
        return j ? strdup(json_string_value(j)) : NULL;
}

static void hash_field(crypto_hash_sha256_state *h, const char *text)
{
        /* The NUL is hashed too: ("ab", "c") is not ("a", "bc"). Absent differs from empty. */
        if (text)
                crypto_hash_sha256_update(h, (const unsigned char *)text, strlen(text) + 1);
        else
                crypto_hash_sha256_update(h, (const unsigned char *)"\xff", 1);
}

/* What only some requests have: the others are hashed as they always were. */
static void hash_queue(crypto_hash_sha256_state *h, const RunRequest *q, const char *after)
{
        char attempts[24];

        snprintf(attempts, sizeof(attempts), "%u", q->attempts);
        const struct {
                const char *name, *value;
        } fields[] = {
                { "after", after },
                { q->join ? "join" : "refuse", q->unique },
                { "hold", q->hold ? "" : NULL },
                { "attempts", q->attempts > 0 ? attempts : NULL },
        };
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (fields[i].value) {
                        hash_field(h, fields[i].name);
                        hash_field(h, fields[i].value);
                }
}

static void hash_request(const RunRequest *q, const char *after, const char *spec, size_t spec_size,
                         uint8_t ret[32])
{
        const char *const fields[] = { q->subsystem,  q->task_type, q->title,    q->description,
                                       q->created_by, q->backend,   q->metadata, q->sla };
        unsigned char priority = (unsigned char)q->priority;
        crypto_hash_sha256_state h;

        crypto_hash_sha256_init(&h);
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                hash_field(&h, fields[i]);
        crypto_hash_sha256_update(&h, &priority, 1);
        hash_queue(&h, q, after);
        crypto_hash_sha256_update(&h, (const unsigned char *)spec, spec_size);
        crypto_hash_sha256_final(&h, ret);
}

/* As standard output goes; if that goes nowhere, as standard error. */
static TaskOutput output_of(const Spec *spec)
{
        static const TaskOutput outputs[] = {
                [SPEC_STDIO_NULL] = TASK_OUTPUT_NONE,
                [SPEC_STDIO_OUTPUT] = TASK_OUTPUT_FILE,
                [SPEC_STDIO_FD] = TASK_OUTPUT_CALLER,
                [SPEC_STDIO_JOURNAL] = TASK_OUTPUT_JOURNAL,
        };

        return outputs[spec->stdio[STDOUT_FILENO].kind] ?: outputs[spec->stdio[STDERR_FILENO].kind];
}

/* "a,b" of ["a", "b"]; NULL of none. */
static int join_ids(const json_t *ids, char **ret)
{
        _cleanup_buffer_ Buffer b = { 0 };
        const json_t *id;
        size_t i;
        int r = 0;

        json_array_foreach((json_t *)ids, i, id)
                r |= buffer_printf(&b, "%s%s", i > 0 ? "," : "", json_string_value(id));
        if (r < 0)
                return -ENOMEM;
        if (b.size == 0)
                return 0;
        *ret = buffer_take(&b);
        return *ret ? 0 : -ENOMEM;
}

static int fill_row(TaskRow *row, const RunRequest *q, const Spec *spec, uid_t owner)
{
        int r = 0;

        row->kind = q->attach ? TASK_KIND_REPORTED : TASK_KIND_LAUNCHED;
        row->owner_uid = owner;
        row->run_uid = spec->uid;
        row->run_gid = spec->gid;
        row->status = TASK_PENDING;
        row->output = output_of(spec);
        row->verify_commands = (unsigned)spec->n_verify;
        row->held = q->hold;

        r |= copy_string(&row->task_id, spec->task_id);
        r |= copy_string(&row->subsystem, q->subsystem);
        r |= copy_string(&row->task_type, q->task_type);
        r |= copy_string(&row->title, q->title ?: "");
        r |= copy_string(&row->description, q->description);
        r |= copy_string(&row->created_by, q->created_by);
        r |= copy_string(&row->metadata, q->metadata);
        r |= copy_string(&row->unique_key, q->unique);
        r |= join_ids(q->after, &row->after);
        row->argv = argv_text(spec);
        row->cwd = lossy_text(spec->cwd);
        return r < 0 || !row->argv || !row->cwd ? -ENOMEM : 0;
}

#define OTHER_LIMIT_SIZE 32

/* A limit that the request has and no policy can set: of a process, or of a unit; NULL if it has none. */
static const char *find_other_limit(const Spec *spec, char name[static OTHER_LIMIT_SIZE])
{
        if (spec->n_properties > 0)
                return spec->properties[0].name;
        for (int i = 0; i < RLIM_NLIMITS; i++)
                if (spec->rlimits[i].set) {
                        snprintf(name, OTHER_LIMIT_SIZE, "Limit%s", spec_rlimit_name(i));
                        return name;
                }
        return NULL;
}

/* What the policy makes of the request: it may refuse it, and says what the request leaves open. */
static int apply_policy(RunOp *op, const Caller *caller, const RunRequest *q, const Spec *spec,
                        ReeveError *reterr)
{
        PolicyLimit limits[SPEC_LIMITS_MAX];
        char other_limit[OTHER_LIMIT_SIZE];
        TaskRow *row = &op->row;
        PolicyQuery query = { .subsystem = q->subsystem,
                              .task_type = q->task_type,
                              .title = q->title,
                              .created_by = q->created_by,
                              .launched = true,
                              .priority = q->priority,
                              .sla = q->sla,
                              .attempts = MIN(q->attempts, spec->attempts),
                              .limits = limits,
                              .n_limits = spec->n_limits,
                              .other_limit = find_other_limit(spec, other_limit) };
        int r;

        for (size_t i = 0; i < spec->n_limits; i++)
                limits[i] = (PolicyLimit){ .name = spec->limits[i].name, .value = spec->limits[i].value };
        if ((r = wanted_backend(q, spec, &query.backend, reterr)) < 0 ||
            (r = service_resolve_policy(op->service, caller, &query, &op->policy, reterr)) < 0 ||
            (r = choose_backend(row, op->policy, q, caller, reterr)) < 0)
                return r;
        row->priority = op->policy->priority ?: TASK_PRIORITY_NORMAL;
        /* Descriptors are the first attempt's, and a process that was attached runs once. */
        bool once = op->n_stdio_fds > 0 || op->attach;
        row->attempts = once ? 1 : MIN(spec->attempts, op->policy->retry.attempts);
        row->sla_owner_may_extend = policy_lets_extend(op->service->policy.current, &query);
        row->policy_hash = strdup(op->policy->hash);
        return row->policy_hash ? 0 : reeve_error_errno(reterr, ENOMEM, NULL, "cannot take another request");
}

RunOp *run_op_new(Service *s, RunRequest *q, service_task_t callback, void *userdata)
{
        RunOp *op = NEW0(RunOp, 1);
        if (!op)
                return NULL;
        op->service = s;
        op->spec_fd = q->spec_fd;
        op->stdio_fds = q->stdio_fds;
        op->n_stdio_fds = q->n_stdio_fds;
        op->attach = q->attach;
        op->join = q->join;
        op->callback = callback;
        op->userdata = userdata;
        q->spec_fd = -EBADF;
        q->stdio_fds = NULL;
        q->n_stdio_fds = 0;
        return op;
}

int run_op_check(RunOp *op, const Caller *caller, const RunRequest *q, ReeveError *reterr)
{
        _cleanup_(spec_done) Spec spec = { 0 };
        uid_t author;
        int r;

        if ((r = run_request_check(q, reterr)) < 0 ||
            (r = spec_open(op->spec_fd, &author, &op->spec, &op->spec_size, reterr)) < 0 ||
            (r = spec_parse(&spec, op->spec, op->spec_size, reterr)) < 0 ||
            (r = check_method(&spec, op, reterr)) < 0 || (r = check_stdio(&spec, op, reterr)) < 0)
                return r;
        if (task_id_is_reserved(spec.task_id))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "task_id",
                                       "ids that end in -check or -step and a number are reeve's own");
        if (author != caller->uid)
                return reeve_error_set(reterr, REEVE_ERROR_PERMISSION_DENIED, "spec",
                                       "the specification was written by uid %u, the call comes from uid %u",
                                       (unsigned)author, (unsigned)caller->uid);
        if (fill_row(&op->row, q, &spec, author) < 0)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot take another request");
        hash_request(q, op->row.after, op->spec, op->spec_size, op->row.content_hash);
        if (registry_get(op->service->registry, op->row.task_id))
                return 0; /* whether it is the same request again is not the policy's business */
        return apply_policy(op, caller, q, &spec, reterr);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Writing a specification: the fields in the order of the header, each behind its key and followed by NUL.
 *
 * That the result parses to an equal Spec is made sure in the simplest way: it is parsed before it is handed out.
 * So there is one set of rules, and it stands in spec-parse.c. Only what would come back as something else without
 * being refused is checked here: a limit whose name has the separator in it, and a list of groups that is given and empty. */

#include "common/spec/spec.h"

#include <errno.h>

#include "basic/strings.h"

/* Appends formatted text and the NUL. */
#define FIELD(b, ...)                                         \
        ({                                                    \
                int _field_r = buffer_printf(b, __VA_ARGS__); \
                if (_field_r >= 0)                            \
                        _field_r = buffer_append(b, "", 1);   \
                _field_r;                                     \
        })

static int add_identity(const Spec *s, Buffer *b)
{
        int r = FIELD(b, "reeve-spec=1");
        if (r >= 0)
                r = FIELD(b, "task=%s", s->task_id);
        if (r >= 0)
                r = FIELD(b, "attempts=%u", s->attempts);
        if (r >= 0)
                r = FIELD(b, "uid=%u", s->uid);
        if (r >= 0)
                r = FIELD(b, "gid=%u", s->gid);
        if (r >= 0 && s->has_groups) {
                r = buffer_append_text(b, "groups=");
                for (size_t i = 0; r >= 0 && i < s->n_groups; i++)
                        r = buffer_printf(b, "%s%u", i > 0 ? "," : "", s->groups[i]);
                if (r >= 0)
                        r = buffer_append(b, "", 1);
        }
        return r;
}

static int add_rlimit(const SpecRlimit *l, const char *name, Buffer *b)
{
        int r = buffer_printf(b, "rlimit=%s:", name);
        if (r >= 0)
                r = l->soft == UINT64_MAX ? buffer_append_text(b, "infinity:")
                                          : buffer_printf(b, "%" PRIu64 ":", l->soft);
        if (r >= 0)
                r = l->hard == UINT64_MAX ? FIELD(b, "infinity") : FIELD(b, "%" PRIu64, l->hard);
        return r;
}

static int add_process(const Spec *s, Buffer *b)
{
        int r = FIELD(b, "cwd=%s", s->cwd);
        if (r >= 0)
                r = FIELD(b, "umask=%04o", s->umask);
        if (r >= 0)
                r = FIELD(b, "nice=%d", s->nice);
        if (r >= 0 && s->has_oom_score_adjust)
                r = FIELD(b, "oom-score-adjust=%d", s->oom_score_adjust);
        for (int i = 0; r >= 0 && i < RLIM_NLIMITS; i++)
                if (s->rlimits[i].set)
                        r = add_rlimit(s->rlimits + i, spec_rlimit_name(i) ?: "", b);
        return r;
}

static int add_stdio(const Spec *s, Buffer *b)
{
        int r = 0;

        for (unsigned i = 0; r >= 0 && i < SPEC_STDIO_COUNT; i++) {
                const SpecStdio *io = s->stdio + i;
                switch (io->kind) {
                case SPEC_STDIO_NULL:
                        r = FIELD(b, "stdio=%u:null", i);
                        break;
                case SPEC_STDIO_OUTPUT:
                        r = FIELD(b, "stdio=%u:output", i);
                        break;
                case SPEC_STDIO_JOURNAL:
                        r = FIELD(b, "stdio=%u:journal", i);
                        break;
                case SPEC_STDIO_FD:
                        r = FIELD(b, "stdio=%u:fd:%" PRIu64 ":%" PRIu64 ":%" PRIu64, i, io->dev, io->ino,
                                  io->rdev);
                        break;
                }
        }
        if (r >= 0 && s->tty)
                r = FIELD(b, "tty=1");
        return r;
}

static int add_attach(const SpecAttach *a, Buffer *b)
{
        char boot[2 * sizeof(a->boot_id) + 1];

        if (a->pid == 0)
                return 0;
        hex_format(a->boot_id, sizeof(a->boot_id), boot);
        return FIELD(b, "attach=%d:%" PRIu64 ":%s%s", a->pid, a->start, boot,
                     a->children ? ":children" : "");
}

static int add_command(const Spec *s, Buffer *b)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < s->n_limits; i++)
                r = FIELD(b, "limit=%s:%s", s->limits[i].name, s->limits[i].value);
        for (size_t i = 0; r >= 0 && i < s->n_properties; i++)
                r = FIELD(b, "property=%s:%s", s->properties[i].name, s->properties[i].value);
        if (r >= 0 && s->slice)
                r = FIELD(b, "slice=%s", s->slice);
        if (r >= 0 && s->grace_usec != USEC_INFINITY)
                r = FIELD(b, "grace=%" PRIu64, s->grace_usec);
        if (r >= 0)
                r = add_attach(&s->attach, b);
        for (size_t i = 0; r >= 0 && i < s->n_env; i++)
                r = FIELD(b, "env=%s", s->env[i]);
        for (size_t i = 0; r >= 0 && i < s->n_argv; i++)
                r = FIELD(b, "arg=%s", s->argv[i]);
        for (size_t i = 0; r >= 0 && i < s->n_verify; i++)
                r = FIELD(b, "verify=%s", s->verify[i]);
        return r;
}

static int check_names(const char *key, const SpecLimit *limits, size_t n, size_t max, ReeveError *reterr)
{
        if (n > max)
                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, key, "at most %zu are possible",
                                       max);
        for (size_t i = 0; i < n; i++)
                if (strchr(limits[i].name, ':'))
                        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, key,
                                               "a name has a colon in it");
        return 0;
}

static int check_expressible(const Spec *s, ReeveError *reterr)
{
        if (!s->task_id || !s->cwd)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, s->task_id ? "cwd" : "task",
                                       "%s is missing",
                                       s->task_id ? "the working directory" : "the task id");
        if (s->has_groups && s->n_groups == 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "groups",
                                       "a list of groups that is given cannot be empty");
        int r = check_names("limit", s->limits, s->n_limits, SPEC_LIMITS_MAX, reterr);
        return r < 0 ? r
                     : check_names("property", s->properties, s->n_properties, SPEC_PROPERTIES_MAX, reterr);
}

int spec_format(const Spec *s, char **ret, size_t *ret_size, ReeveError *reterr)
{
        _cleanup_buffer_ Buffer b = { 0 };
        Spec check;

        assert(s);
        assert(ret);
        assert(ret_size);

        int r = check_expressible(s, reterr);
        if (r < 0)
                return r;
        if ((r = add_identity(s, &b)) < 0 || (r = add_process(s, &b)) < 0 || (r = add_stdio(s, &b)) < 0 ||
            (r = add_command(s, &b)) < 0)
                return reeve_error_errno(reterr, r, "spec", "cannot write the specification");

        r = spec_parse(&check, b.data, b.size, reterr);
        if (r < 0)
                return r;
        spec_done(&check);

        *ret_size = b.size;
        *ret = buffer_take(&b);
        return 0;
}

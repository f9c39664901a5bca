/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reading a specification. The launcher, which is root, does this with bytes of any user: so the grammar is flat,
 * every key stands in one table, and there is nothing to nest, escape or recurse into.
 *
 * Two passes. The first (`count_fields`) looks at keys only: known, in the order of the table, as often as the
 * table allows. It gives the exact number of every key, so that the second pass, which looks at the values, stores
 * into arrays of the right size and has no growing, no reordering and no "seen before" to think about.
 *
 * Invariants: a value is a NUL-terminated string inside the caller's text; nothing of it is copied or changed. An
 * error never quotes the input: it goes into JSON, D-Bus and logs, and the input is any bytes.
 *
 * Not done here: whether the author may have this uid, these groups, limits and adjustments (launcher/authorise),
 * what the values of limits mean (launcher), whether the descriptors are there. */

#include "common/spec/spec.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "basic/parse.h"
#include "basic/strings.h"
#include "common/task-id.h"

#define LIMIT_NAME_MAX   64
#define LIMIT_NAME_SIZE  (LIMIT_NAME_MAX + 1)
#define VERIFY_SEPARATOR '\x1f'

/* Reads one value into the Spec; `index` counts the fields of this key from 0. 0; -EINVAL or -ERANGE if
 * it is not what the key's `wants` says; -E2BIG for more than a limit allows; -ENOMEM. */
typedef int (*parse_value_t)(Spec *s, const char *value, size_t index);

typedef struct Key {
        const char *name;
        unsigned min, max; /* how many fields */
        parse_value_t parse;
        const char *wants;
} Key;

static int parse_version(Spec *s _unused_, const char *value, size_t index _unused_)
{
        return streq(value, "1") ? 0 : -EINVAL;
}

static int parse_task(Spec *s, const char *value, size_t index _unused_)
{
        s->task_id = value;
        return task_id_is_valid(value) ? 0 : -EINVAL;
}

static int parse_attempts(Spec *s, const char *value, size_t index _unused_)
{
        int attempts;

        int r = parse_int_range(value, 1, TASK_ATTEMPT_MAX, &attempts);
        if (r >= 0)
                s->attempts = (unsigned)attempts;
        return r;
}

/* The kernel takes the largest id for "leave it as it is". */
static int parse_id(const char *value, uint32_t *ret)
{
        int r = parse_u32(value, ret);
        return r >= 0 && *ret == UINT32_MAX ? -ERANGE : r;
}

static int parse_uid(Spec *s, const char *value, size_t index _unused_)
{
        return parse_id(value, &s->uid);
}

static int parse_gid(Spec *s, const char *value, size_t index _unused_)
{
        return parse_id(value, &s->gid);
}

/* Gives the number up to the next comma and moves *p behind it; NULL in *p at the end. */
static int next_group(const char **p, gid_t *ret)
{
        char number[16];

        size_t n = strcspn(*p, ",");
        if (n >= sizeof(number))
                return -EINVAL;
        memcpy(number, *p, n);
        number[n] = '\0';
        *p = (*p)[n] == ',' ? *p + n + 1 : NULL;
        return parse_id(number, ret);
}

static int parse_groups(Spec *s, const char *value, size_t index _unused_)
{
        if (value[0] == '\0')
                return 0;

        size_t n = 1;
        for (const char *p = value; (p = strchr(p, ',')); p++)
                n++;
        if (n > SPEC_GROUPS_MAX)
                return -E2BIG;

        s->groups = NEW(gid_t, n);
        if (!s->groups)
                return -ENOMEM;
        s->has_groups = true;
        for (const char *p = value; p; s->n_groups++) {
                int r = next_group(&p, s->groups + s->n_groups);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_cwd(Spec *s, const char *value, size_t index _unused_)
{
        s->cwd = value;
        if (value[0] != '/')
                return -EINVAL;
        return strlen(value) >= PATH_MAX ? -ERANGE : 0;
}

static int parse_umask(Spec *s, const char *value, size_t index _unused_)
{
        int r = parse_mode(value, &s->umask);
        return r >= 0 && s->umask > 0777 ? -ERANGE : r;
}

static int parse_nice(Spec *s, const char *value, size_t index _unused_)
{
        return parse_int_range(value, -20, 19, &s->nice);
}

static int parse_oom_score_adjust(Spec *s, const char *value, size_t index _unused_)
{
        s->has_oom_score_adjust = true;
        return parse_int_range(value, -1000, 1000, &s->oom_score_adjust);
}

static int parse_rlimit_value(const char *text, uint64_t *ret)
{
        if (streq(text, "infinity")) {
                *ret = UINT64_MAX;
                return 0;
        }
        return parse_u64(text, ret);
}

static int parse_rlimit(Spec *s, const char *value, size_t index _unused_)
{
        char copy[80]; /* the longest name and two numbers of 20 digits */

        if (strlen(value) >= sizeof(copy))
                return -EINVAL;
        strcpy(copy, value);
        char *soft = strchr(copy, ':');
        char *hard = soft ? strchr(soft + 1, ':') : NULL;
        if (!hard)
                return -EINVAL;
        *soft++ = *hard++ = '\0';

        int resource = spec_rlimit_from_name(copy);
        if (resource < 0 || s->rlimits[resource].set)
                return -EINVAL;
        SpecRlimit *l = s->rlimits + resource;
        l->set = true;
        int r = parse_rlimit_value(soft, &l->soft);
        if (r >= 0)
                r = parse_rlimit_value(hard, &l->hard);
        return r >= 0 && l->soft > l->hard ? -ERANGE : r;
}

/* "DEV:INO:RDEV" */
static int parse_stdio_fd(SpecStdio *io, const char *value)
{
        uint64_t *const targets[] = { &io->dev, &io->ino, &io->rdev };
        char number[24];

        for (size_t i = 0; i < ELEMENTSOF(targets); i++) {
                bool last = i + 1 == ELEMENTSOF(targets);
                size_t n = strcspn(value, ":");
                if (n >= sizeof(number) || (value[n] == ':') == last)
                        return -EINVAL;
                memcpy(number, value, n);
                number[n] = '\0';
                int r = parse_u64(number, targets[i]);
                if (r < 0)
                        return r;
                value += n + !last;
        }
        io->kind = SPEC_STDIO_FD;
        return 0;
}

/* The entries come in order, which is what gives "the k-th descriptor" its meaning. */
static int parse_stdio(Spec *s, const char *value, size_t index)
{
        SpecStdio *io = s->stdio + index;
        const char *kind, *ids;

        assert(index < SPEC_STDIO_COUNT);

        if (value[0] != '0' + (char)index || value[1] != ':')
                return -EINVAL;
        kind = value + 2;
        if (streq(kind, "null"))
                io->kind = SPEC_STDIO_NULL;
        else if (streq(kind, "output") && index != STDIN_FILENO)
                io->kind = SPEC_STDIO_OUTPUT;
        else if (streq(kind, "journal") && index != STDIN_FILENO)
                io->kind = SPEC_STDIO_JOURNAL;
        else if ((ids = string_after(kind, "fd:")))
                return parse_stdio_fd(io, ids);
        else
                return -EINVAL;
        return 0;
}

static int parse_tty(Spec *s, const char *value, size_t index _unused_)
{
        s->tty = true;
        return streq(value, "1") && s->stdio[STDIN_FILENO].kind == SPEC_STDIO_FD ? 0 : -EINVAL;
}

/* Length of a limit's name at the start of the value, 0 if there is none. */
static size_t limit_name_length(const char *value)
{
        size_t n = 0;

        while ((value[n] >= 'A' && value[n] <= 'Z') || (value[n] >= 'a' && value[n] <= 'z'))
                n++;
        return n <= LIMIT_NAME_MAX && value[n] == ':' ? n : 0;
}

/* "NAME:VALUE": the value can be borrowed, the name has no NUL behind it and gets a slot of its own. */
static int parse_named(const char *value, char slot[static LIMIT_NAME_SIZE], SpecLimit *ret)
{
        size_t n = limit_name_length(value);

        if (n == 0 || value[n + 1] == '\0' || string_has_control(value, strlen(value)))
                return -EINVAL;
        memcpy(slot, value, n);
        slot[n] = '\0';
        *ret = (SpecLimit){ .name = slot, .value = value + n + 1 };
        return 0;
}

/* The same name, and not two devices ("8:0 1000"). */
static bool is_same_limit(const SpecLimit *a, const SpecLimit *b)
{
        size_t n = strcspn(a->value, " ");

        return streq(a->name, b->name) && !(a->value[n] && strncmp(a->value, b->value, n + 1) != 0);
}

static int parse_limit(Spec *s, const char *value, size_t index)
{
        assert(index < SPEC_LIMITS_MAX);

        int r = parse_named(value, s->limit_names + index * LIMIT_NAME_SIZE, s->limits + index);
        if (r < 0)
                return r;
        for (size_t i = 0; i < index; i++)
                if (is_same_limit(s->limits + i, s->limits + index))
                        return -EINVAL;
        s->n_limits = index + 1;
        return 0;
}

static int parse_property(Spec *s, const char *value, size_t index)
{
        assert(index < SPEC_PROPERTIES_MAX);

        s->n_properties = index + 1;
        return parse_named(value, s->limit_names + (s->n_limits + index) * LIMIT_NAME_SIZE,
                           s->properties + index);
}

static int parse_slice(Spec *s, const char *value, size_t index _unused_)
{
        s->slice = value;
        return value[0] == '\0' || string_has_control(value, strlen(value)) ? -EINVAL : 0;
}

static int parse_grace(Spec *s, const char *value, size_t index _unused_)
{
        int r = parse_u64(value, &s->grace_usec);
        return r >= 0 && s->grace_usec == USEC_INFINITY ? -ERANGE : r;
}

/* "PID:START:BOOT" or "PID:START:BOOT:children". */
static int parse_attach(Spec *s, const char *value, size_t index _unused_)
{
        SpecAttach *a = &s->attach;
        char copy[88]; /* two numbers, a boot id, a word */
        int pid;

        if (strlen(value) >= sizeof(copy))
                return -EINVAL;
        strcpy(copy, value);
        char *start = strchr(copy, ':');
        char *boot = start ? strchr(start + 1, ':') : NULL;
        if (!boot)
                return -EINVAL;
        *start++ = *boot++ = '\0';
        char *word = strchr(boot, ':');
        if (word)
                *word++ = '\0';
        if (word && !streq(word, "children"))
                return -EINVAL;

        int r = parse_int_range(copy, 2, INT_MAX, &pid);
        if (r >= 0)
                r = parse_u64(start, &a->start);
        if (r >= 0)
                r = parse_hex(boot, a->boot_id, sizeof(a->boot_id));
        if (r < 0)
                return r;
        a->pid = pid;
        a->children = word != NULL;
        return 0;
}

static int parse_env(Spec *s, const char *value, size_t index)
{
        s->env[index] = (char *)value;
        s->n_env = index + 1;
        const char *equals = strchr(value, '=');
        return equals && equals != value ? 0 : -EINVAL;
}

static int parse_arg(Spec *s, const char *value, size_t index)
{
        s->argv[index] = (char *)value;
        s->n_argv = index + 1;
        return index == 0 && value[0] == '\0' ? -EINVAL : 0;
}

static int parse_verify(Spec *s, const char *value, size_t index)
{
        s->verify[index] = value;
        s->n_verify = index + 1;
        return value[0] == '\0' || value[0] == VERIFY_SEPARATOR ? -EINVAL : 0;
}

typedef enum KeyIndex {
        KEY_VERSION,
        KEY_TASK,
        KEY_ATTEMPTS,
        KEY_UID,
        KEY_GID,
        KEY_GROUPS,
        KEY_CWD,
        KEY_UMASK,
        KEY_NICE,
        KEY_OOM_SCORE_ADJUST,
        KEY_RLIMIT,
        KEY_STDIO,
        KEY_TTY,
        KEY_LIMIT,
        KEY_PROPERTY,
        KEY_SLICE,
        KEY_GRACE,
        KEY_ATTACH,
        KEY_ENV,
        KEY_ARG,
        KEY_VERIFY,
        _KEY_MAX,
} KeyIndex;

/* The keys of the header, in their order. */
static const Key keys[_KEY_MAX] = {
        [KEY_VERSION] = { "reeve-spec", 1, 1, parse_version, "must be 1" },
        [KEY_TASK] = { "task", 1, 1, parse_task, "must be a task id" },
        [KEY_ATTEMPTS] = { "attempts", 1, 1, parse_attempts, "must be a number from 1 to 1000" },
        [KEY_UID] = { "uid", 1, 1, parse_uid, "must be a user id" },
        [KEY_GID] = { "gid", 1, 1, parse_gid, "must be a group id" },
        [KEY_GROUPS] = { "groups", 0, 1, parse_groups,
                         "must be at most 1024 group ids with commas between them" },
        [KEY_CWD] = { "cwd", 1, 1, parse_cwd, "must be an absolute path of less than 4096 bytes" },
        [KEY_UMASK] = { "umask", 1, 1, parse_umask, "must be octal, from 0 to 0777" },
        [KEY_NICE] = { "nice", 1, 1, parse_nice, "must be a number from -20 to 19" },
        [KEY_OOM_SCORE_ADJUST] = { "oom-score-adjust", 0, 1, parse_oom_score_adjust,
                                   "must be a number from -1000 to 1000" },
        [KEY_RLIMIT] = { "rlimit", 0, RLIM_NLIMITS, parse_rlimit,
                         "must be NAME:SOFT:HARD, SOFT not above HARD, each name once" },
        [KEY_STDIO] = { "stdio", SPEC_STDIO_COUNT, SPEC_STDIO_COUNT, parse_stdio,
                        "must be 0, 1 and 2 in this order, each null, output or journal (not 0) or "
                        "fd:DEV:INO:RDEV" },
        [KEY_TTY] = { "tty", 0, 1, parse_tty, "must be 1, with a passed descriptor as standard input" },
        [KEY_LIMIT] = { "limit", 0, SPEC_LIMITS_MAX, parse_limit,
                        "must be NAME:VALUE without control characters, each name (and device) once" },
        [KEY_PROPERTY] = { "property", 0, SPEC_PROPERTIES_MAX, parse_property,
                           "must be NAME:VALUE without control characters" },
        [KEY_SLICE] = { "slice", 0, 1, parse_slice, "must be the name of a slice" },
        [KEY_GRACE] = { "grace", 0, 1, parse_grace, "must be a number of microseconds" },
        [KEY_ATTACH] = { "attach", 0, 1, parse_attach,
                         "must be PID:START:BOOT or PID:START:BOOT:children, PID above 1" },
        [KEY_ENV] = { "env", 0, SPEC_ENV_MAX, parse_env, "must be NAME=VALUE with a name" },
        [KEY_ARG] = { "arg", 1, SPEC_ARGS_MAX, parse_arg, "must begin with a command that is not empty" },
        [KEY_VERIFY] = { "verify", 0, SPEC_VERIFY_MAX, parse_verify, "must be a command that is not empty" },
};

static int refuse(ReeveError *reterr, const Key *k, const char *why)
{
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, k->name, "%s %s", k->name, why);
}

static int refuse_excess(ReeveError *reterr, const Key *k)
{
        return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, k->name, "%s may come %u times at most",
                               k->name, k->max);
}

/* The value of a field with this key, NULL if it has another. */
static const char *field_value(const char *field, const Key *k)
{
        const char *rest = string_after(field, k->name);
        return rest && *rest == '=' ? rest + 1 : NULL;
}

/* The key of a field; NULL if there is no such key. The search begins at `from`, where it mostly ends. */
static const Key *find_key(const char *field, size_t from)
{
        for (size_t i = 0; i < _KEY_MAX; i++) {
                const Key *k = keys + (from + i) % _KEY_MAX;
                if (field_value(field, k))
                        return k;
        }
        return NULL;
}

/* First pass: how often each key comes; all of the grammar that can be seen without looking at values. */
static int count_fields(const char *text, size_t size, unsigned counts[static _KEY_MAX], ReeveError *reterr)
{
        size_t at = 0;

        for (const char *p = text; p < text + size; p += strlen(p) + 1) {
                const Key *k = find_key(p, at);
                if (!k)
                        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "spec",
                                               "byte %zu begins no field with a known key",
                                               (size_t)(p - text));
                size_t i = (size_t)(k - keys);
                if (i < at)
                        return refuse(reterr, k, counts[i] > 0 ? "is repeated" : "is not in its place");
                if (counts[i] == k->max)
                        return k->max <= SPEC_STDIO_COUNT ? refuse(reterr, k, "is repeated")
                                                          : refuse_excess(reterr, k);
                counts[i]++;
                at = i;
        }

        for (size_t i = 0; i < _KEY_MAX; i++)
                if (counts[i] < keys[i].min)
                        return refuse(reterr, keys + i, "is missing");
        return 0;
}

/* The arrays whose sizes are known from the first pass. Those of strings end with NULL. */
static int allocate(Spec *s, const unsigned counts[static _KEY_MAX])
{
        s->env = NEW0(char *, counts[KEY_ENV] + 1);
        s->argv = NEW0(char *, counts[KEY_ARG] + 1);
        s->verify = NEW0(const char *, counts[KEY_VERIFY] + 1);
        if (!s->env || !s->argv || !s->verify)
                return -ENOMEM;
        size_t names = counts[KEY_LIMIT] + counts[KEY_PROPERTY];
        if (names > 0 && !(s->limit_names = calloc(names, LIMIT_NAME_SIZE)))
                return -ENOMEM;
        return 0;
}

/* Second pass. The order is known to be right: the keys are met as they stand in the table. */
static int parse_values(Spec *s, const char *text, const unsigned counts[static _KEY_MAX],
                        ReeveError *reterr)
{
        const char *p = text;

        for (size_t i = 0; i < _KEY_MAX; i++)
                for (unsigned n = 0; n < counts[i]; n++, p += strlen(p) + 1) {
                        int r = keys[i].parse(s, field_value(p, keys + i), n);
                        if (r == -ENOMEM)
                                return reeve_error_errno(reterr, r, "spec", "cannot read the specification");
                        if (r == -E2BIG)
                                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, keys[i].name,
                                                       "%s %s", keys[i].name, keys[i].wants);
                        if (r < 0)
                                return refuse(reterr, keys + i, keys[i].wants);
                }
        return 0;
}

/* What is about executing a command has no meaning for a process that runs, so it is refused rather than ignored. */
static int check_attach(const Spec *s, const unsigned counts[static _KEY_MAX], ReeveError *reterr)
{
        static const KeyIndex absent[] = { KEY_GROUPS, KEY_OOM_SCORE_ADJUST, KEY_RLIMIT,
                                           KEY_TTY,    KEY_PROPERTY,         KEY_SLICE,
                                           KEY_ENV };

        if (s->attach.pid == 0)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(absent); i++)
                if (counts[absent[i]] > 0)
                        return refuse(reterr, keys + absent[i], "cannot be given for a process that runs");
        for (size_t i = 0; i < SPEC_STDIO_COUNT; i++)
                if (s->stdio[i].kind != SPEC_STDIO_NULL)
                        return refuse(reterr, keys + KEY_STDIO, "must be null for a process that runs");
        if (s->attempts != 1)
                return refuse(reterr, keys + KEY_ATTEMPTS, "must be 1 for a process that runs");
        return 0;
}

int spec_parse(Spec *s, const char *text, size_t size, ReeveError *reterr)
{
        unsigned counts[_KEY_MAX] = { 0 };

        assert(s);
        assert(text || size == 0);

        *s = (Spec){ .grace_usec = USEC_INFINITY };
        if (size > SPEC_SIZE_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_LIMIT_EXCEEDED, "spec",
                                       "the specification has %zu bytes, at most %u are possible", size,
                                       SPEC_SIZE_MAX);
        if (size == 0 || text[size - 1] != '\0')
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "spec",
                                       "the last field is not terminated by NUL");

        int r = count_fields(text, size, counts, reterr);
        if (r < 0)
                return r;
        r = allocate(s, counts);
        if (r < 0)
                r = reeve_error_errno(reterr, r, "spec", "cannot read the specification");
        else
                r = parse_values(s, text, counts, reterr);
        if (r >= 0)
                r = check_attach(s, counts, reterr);
        if (r < 0)
                spec_done(s);
        return r;
}

bool spec_wants_scope(const Spec *s)
{
        assert(s);

        return s->n_properties > 0 || s->slice;
}

void spec_done(Spec *s)
{
        assert(s);

        free(s->groups);
        free(s->limit_names);
        free(s->env);
        free(s->argv);
        free(s->verify);
        *s = (Spec){ .grace_usec = USEC_INFINITY };
}

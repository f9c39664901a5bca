/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The text of a specification: what is accepted, that every refusal names its key, and that writing and reading are each
 * other's reverse. */

#include "common/spec/spec.h"

#include <errno.h>

#include "basic/strings.h"
#include "tests/unit/test.h"

/* A complete specification, a field a line: tests replace one line of it. */
static const char *const full[] = {
        "reeve-spec=1",
        "task=healing_playbook_0123456789ab",
        "attempts=3",
        "uid=1000",
        "gid=1001",
        "groups=4,27,1000",
        "cwd=/srv/work",
        "umask=0027",
        "nice=-5",
        "oom-score-adjust=200",
        "rlimit=CORE:0:infinity",
        "rlimit=NOFILE:1024:4096",
        "stdio=0:fd:25:4:34816",
        "stdio=1:output",
        "stdio=2:null",
        "tty=1",
        "limit=MemoryMax:536870912",
        "limit=CPUQuota:20000",
        "property=IPAddressDeny:10.0.0.0/8",
        "property=IPAddressDeny:::/0",
        "slice=system.slice",
        "grace=5000000",
        "env=PATH=/usr/bin",
        "env=EMPTY=",
        "arg=/bin/echo",
        "arg=",
        "arg=x=y",
        "verify=/bin/test\x1f-f\x1f/srv/jobs/done",
};

static const char *const least[] = {
        "reeve-spec=1", "task=t", "attempts=1",   "uid=0",        "gid=0",        "cwd=/",
        "umask=0",      "nice=0", "stdio=0:null", "stdio=1:null", "stdio=2:null", "arg=true",
};

static void join(Buffer *b, const char *const *fields, size_t n)
{
        for (size_t i = 0; i < n; i++)
                assert_int_equal(buffer_append(b, fields[i], strlen(fields[i]) + 1), 0);
}

/* Parses `full` with the field `index` replaced by `field` (NULL: left out). */
static int parse_with(size_t index, const char *field, ReeveError *reterr)
{
        _cleanup_buffer_ Buffer b = { 0 };
        const char *fields[ELEMENTSOF(full)];
        size_t n = 0;
        Spec s;

        for (size_t i = 0; i < ELEMENTSOF(full); i++)
                if (i != index)
                        fields[n++] = full[i];
                else if (field)
                        fields[n++] = field;
        join(&b, fields, n);
        *reterr = REEVE_ERROR_NULL;
        int r = spec_parse(&s, b.data, b.size, reterr);
        spec_done(&s);
        return r;
}

static size_t find(const char *prefix)
{
        for (size_t i = 0; i < ELEMENTSOF(full); i++)
                if (string_after(full[i], prefix))
                        return i;
        fail_msg("no field '%s'", prefix);
        return 0;
}

static void test_full(void **state _unused_)
{
        _cleanup_buffer_ Buffer b = { 0 };
        ReeveError e = REEVE_ERROR_NULL;
        Spec s;

        join(&b, full, ELEMENTSOF(full));
        assert_ok(spec_parse(&s, b.data, b.size, &e), e);
        assert_string_equal(s.task_id, "healing_playbook_0123456789ab");
        assert_int_equal(s.attempts, 3);
        assert_int_equal(s.uid, 1000);
        assert_int_equal(s.gid, 1001);
        assert_true(s.has_groups);
        assert_int_equal(s.n_groups, 3);
        assert_int_equal(s.groups[1], 27);
        assert_string_equal(s.cwd, "/srv/work");
        assert_int_equal(s.umask, 027);
        assert_int_equal(s.nice, -5);
        assert_true(s.has_oom_score_adjust);
        assert_int_equal(s.oom_score_adjust, 200);
        assert_true(s.rlimits[RLIMIT_CORE].set);
        assert_true(s.rlimits[RLIMIT_CORE].hard == UINT64_MAX);
        assert_int_equal(s.rlimits[RLIMIT_NOFILE].soft, 1024);
        assert_false(s.rlimits[RLIMIT_CPU].set);
        assert_int_equal(s.stdio[0].kind, SPEC_STDIO_FD);
        assert_int_equal(s.stdio[0].rdev, 34816);
        assert_int_equal(s.stdio[1].kind, SPEC_STDIO_OUTPUT);
        assert_int_equal(s.stdio[2].kind, SPEC_STDIO_NULL);
        assert_true(s.tty);
        assert_int_equal(s.n_limits, 2);
        assert_string_equal(s.limits[1].name, "CPUQuota");
        assert_string_equal(s.limits[1].value, "20000");
        assert_int_equal(s.n_properties, 2);
        assert_string_equal(s.properties[0].name, "IPAddressDeny");
        assert_string_equal(s.properties[1].value, "::/0");
        assert_string_equal(s.slice, "system.slice");
        assert_true(spec_wants_scope(&s));
        assert_int_equal(s.grace_usec, 5000000);
        assert_int_equal(s.n_env, 2);
        assert_string_equal(s.env[1], "EMPTY=");
        assert_null(s.env[2]);
        assert_int_equal(s.n_argv, 3);
        assert_string_equal(s.argv[1], "");
        assert_string_equal(s.argv[2], "x=y");
        assert_null(s.argv[3]);
        assert_int_equal(s.n_verify, 1);
        assert_null(s.verify[1]);
        spec_done(&s);
}

static void test_least(void **state _unused_)
{
        _cleanup_buffer_ Buffer b = { 0 };
        ReeveError e = REEVE_ERROR_NULL;
        Spec s;

        join(&b, least, ELEMENTSOF(least));
        assert_ok(spec_parse(&s, b.data, b.size, &e), e);
        assert_false(s.has_groups);
        assert_false(s.has_oom_score_adjust);
        assert_false(s.tty);
        assert_null(s.slice);
        assert_false(spec_wants_scope(&s));
        assert_true(s.grace_usec == USEC_INFINITY);
        assert_int_equal(s.n_env, 0);
        assert_null(s.env[0]);
        spec_done(&s);
}

/* Each in the place of the first field with its key, which is the field that the error must name. */
static const char *const bad_values[] = {
        "reeve-spec=2",
        "reeve-spec=",
        "task=",
        "task=../x",
        "task=a.b",
        "task=-a",
        "attempts=0",
        "attempts=1001",
        "attempts=",
        "attempts= 1",
        "uid=-1",
        "uid=4294967295",
        "uid=4294967296",
        "uid=root",
        "gid=4294967295",
        "gid=",
        "groups=1,",
        "groups=,1",
        "groups=1,,2",
        "groups=1 2",
        "groups=4294967295",
        "groups=00000000000000000001",
        "cwd=",
        "cwd=relative",
        "cwd=./x",
        "umask=8",
        "umask=01000",
        "umask=",
        "nice=20",
        "nice=-21",
        "nice=",
        "oom-score-adjust=1001",
        "oom-score-adjust=-1001",
        "oom-score-adjust=",
        "rlimit=NOFILE",
        "rlimit=NOFILE:1",
        "rlimit=NOFILE:2:1",
        "rlimit=NOFILE:infinity:1",
        "rlimit=NOFILE:1:2", /* comes again behind it */
        "rlimit=RLIMIT_CPU:1:2",
        "rlimit=cpu:1:2",
        "rlimit=:1:2",
        "rlimit=CPU:1:2:3",
        "rlimit=CPU:-1:2",
        "rlimit=CPU:99999999999999999999999999999999999999999999999999999999999999999999999999:1",
        "stdio=0:output",
        "stdio=0:journal",
        "stdio=1:null", /* index 1 twice, 0 missing */
        "stdio=3:null",
        "stdio=0",
        "stdio=",
        "stdio=0:",
        "stdio=0:nul",
        "stdio=0:fd:",
        "stdio=0:fd:1:2",
        "stdio=0:fd:1:2:",
        "stdio=0:fd:1:2:3:",
        "stdio=0:fd:1:2:3:4",
        "stdio=0:fd:1:x:3",
        "stdio=0:fd:1:18446744073709551616:3",
        "tty=0",
        "tty=",
        "limit=MemoryMax",
        "limit=MemoryMax:",
        "limit=:1",
        "limit=Memory Max:1",
        "limit=CPUQuota:1", /* comes again behind it */
        "limit=MemoryMax:1\n",
        "limit=Abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmn:1",
        "property=IPAddressDeny",
        "property=IPAddressDeny:",
        "property=:1",
        "property=IP-Address:1",
        "property=IPAddressDeny:1\t",
        "slice=",
        "slice=a\n.slice",
        "grace=-1",
        "grace=5s",
        "grace=18446744073709551615",
        "env=PATH",
        "env==x",
        "env=",
        "arg=", /* the command */
        "verify=",
        "verify=\x1f-f",
};

static void test_bad_values(void **state _unused_)
{
        ReeveError e;

        for (size_t i = 0; i < ELEMENTSOF(bad_values); i++) {
                _cleanup_free_ char *key = strndup(bad_values[i], strcspn(bad_values[i], "="));
                _cleanup_free_ char *prefix = string_printf("%s=", key);
                int r = parse_with(find(prefix), bad_values[i], &e);
                assert_errno(r, -EINVAL, bad_values[i]);
                if (!streq(e.field, key))
                        fail_msg("'%s': the error names '%s'", bad_values[i], e.field);
                assert_int_equal(e.code, REEVE_ERROR_INVALID_ARGUMENT);
                assert_true(strlen(e.text) > 0);
        }
}

/* Each kind of stdio survives being written and read; what is passed is told by its numbers (test_full). */
static void test_stdio_kinds(void **state _unused_)
{
        static const struct {
                const char *field;
                SpecStdioKind kind;
        } good[] = {
                { "stdio=2:null", SPEC_STDIO_NULL },
                { "stdio=2:output", SPEC_STDIO_OUTPUT },
                { "stdio=2:journal", SPEC_STDIO_JOURNAL },
                { "stdio=2:fd:1:2:3", SPEC_STDIO_FD },
        };

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                const char *fields[ELEMENTSOF(full)];
                _cleanup_buffer_ Buffer b = { 0 };
                _cleanup_free_ char *text = NULL;
                ReeveError e = REEVE_ERROR_NULL;
                size_t size;
                Spec s;

                memcpy(fields, full, sizeof(full));
                fields[find("stdio=2")] = good[i].field;
                join(&b, fields, ELEMENTSOF(full));
                assert_ok(spec_parse(&s, b.data, b.size, &e), e);
                assert_int_equal(s.stdio[2].kind, good[i].kind);
                assert_ok(spec_format(&s, &text, &size, &e), e);
                assert_int_equal(size, b.size);
                assert_memory_equal(text, b.data, size);
                spec_done(&s);
        }
}

#define BOOT "0123456789abcdef0123456789ABCDEF"

/* A process that runs: its fields, with `changed` in the place of the one with the same key, or added in front of `before`. */
static int parse_attached(const char *changed, const char *before, Spec *s, Buffer *b, ReeveError *reterr)
{
        static const char *const plain[] = {
                "reeve-spec=1", "task=t",       "attempts=1",   "uid=1000",
                "gid=1000",     "cwd=/tmp",     "umask=0",      "nice=0",
                "stdio=0:null", "stdio=1:null", "stdio=2:null", "attach=4711:1630547:" BOOT,
                "arg=a shell",
        };

        for (size_t i = 0; i < ELEMENTSOF(plain); i++) {
                bool here = before && string_after(plain[i], before);
                size_t key = strcspn(plain[i], plain[i][0] == 's' ? ":" : "=");
                bool replaced = changed && !before && strncmp(plain[i], changed, key + 1) == 0;

                if (here)
                        assert_int_equal(buffer_append(b, changed, strlen(changed) + 1), 0);
                const char *field = replaced ? changed : plain[i];
                assert_int_equal(buffer_append(b, field, strlen(field) + 1), 0);
        }
        *reterr = REEVE_ERROR_NULL;
        return spec_parse(s, b->data, b->size, reterr);
}

static void test_attach(void **state _unused_)
{
        static const uint8_t boot[] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                        0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef };
        ReeveError e;

        for (int children = 0; children < 2; children++) {
                const char *field = children ? "attach=4711:1630547:" BOOT ":children" : NULL;
                _cleanup_buffer_ Buffer b = { 0 };
                _cleanup_free_ char *text = NULL;
                Spec s, again;
                size_t size;

                assert_ok(parse_attached(field, NULL, &s, &b, &e), e);
                assert_int_equal(s.attach.pid, 4711);
                assert_int_equal(s.attach.start, 1630547);
                assert_memory_equal(s.attach.boot_id, boot, sizeof(boot));
                assert_int_equal(s.attach.children, children);
                assert_ok(spec_format(&s, &text, &size, &e), e);
                assert_ok(spec_parse(&again, text, size, &e), e);
                assert_memory_equal(&again.attach, &s.attach, sizeof(s.attach));
                spec_done(&again);
                spec_done(&s);
        }
}

static void test_attach_bad(void **state _unused_)
{
        static const struct {
                const char *field, *before, *key;
        } bad[] = {
                { "attach=1:2:" BOOT, NULL, "attach" },
                { "attach=0:2:" BOOT, NULL, "attach" },
                { "attach=-5:2:" BOOT, NULL, "attach" },
                { "attach=2147483648:2:" BOOT, NULL, "attach" },
                { "attach=5:-2:" BOOT, NULL, "attach" },
                { "attach=5:2:" BOOT "0", NULL, "attach" },
                { "attach=5:2:0123456789abcdef0123456789abcdeg", NULL, "attach" },
                { "attach=5:2:" BOOT ":child", NULL, "attach" },
                { "attach=5:2:" BOOT ":children:children", NULL, "attach" },
                { "attach=5:2:", NULL, "attach" },
                { "attach=5:2", NULL, "attach" },
                { "attach=", NULL, "attach" },
                { "attach=5:18446744073709551615000000000000000000000000000000000000:" BOOT ":children",
                  NULL, "attach" },
                { "attempts=2", NULL, "attempts" },
                { "stdio=1:output", NULL, "stdio" },
                { "stdio=2:journal", NULL, "stdio" },
                { "stdio=0:fd:1:2:3", NULL, "stdio" },
                { "groups=4", "cwd=", "groups" },
                { "oom-score-adjust=5", "stdio=0", "oom-score-adjust" },
                { "rlimit=CORE:0:0", "stdio=0", "rlimit" },
                { "slice=x.slice", "attach=", "slice" },
                { "env=A=b", "arg=", "env" },
        };
        ReeveError e;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_buffer_ Buffer b = { 0 };
                Spec s;

                if (parse_attached(bad[i].field, bad[i].before, &s, &b, &e) >= 0)
                        fail_msg("'%s' was accepted", bad[i].field);
                if (!streq(e.field, bad[i].key))
                        fail_msg("'%s': expected field %s, got %s: %s", bad[i].field, bad[i].key, e.field,
                                 e.text);
        }
}

/* What is required is missed, what is optional is not. */
static void test_missing(void **state _unused_)
{
        static const char *const optional[] = { "groups=", "oom-score-adjust=", "tty=", "grace=",
                                                "verify=" };
        static const char *const required[] = { "reeve-spec=", "task=",   "attempts=", "uid=",
                                                "gid=",        "cwd=",    "umask=",    "nice=",
                                                "stdio=0",     "stdio=1", "stdio=2" };
        ReeveError e;

        for (size_t i = 0; i < ELEMENTSOF(optional); i++)
                assert_errno(parse_with(find(optional[i]), NULL, &e), 0, optional[i]);
        for (size_t i = 0; i < ELEMENTSOF(required); i++) {
                assert_errno(parse_with(find(required[i]), NULL, &e), -EINVAL, required[i]);
                assert_true(string_after(required[i], e.field) != NULL);
        }
}

/* Every pair of neighbours with different keys, swapped: one of the two keys is named. */
static void test_order(void **state _unused_)
{
        for (size_t i = 0; i + 1 < ELEMENTSOF(full); i++) {
                _cleanup_buffer_ Buffer b = { 0 };
                const char *fields[ELEMENTSOF(full)];
                ReeveError e = REEVE_ERROR_NULL;
                Spec s;

                if (strcspn(full[i], "=") == strcspn(full[i + 1], "=") &&
                    strncmp(full[i], full[i + 1], strcspn(full[i], "=")) == 0)
                        continue;
                memcpy(fields, full, sizeof(full));
                fields[i] = full[i + 1];
                fields[i + 1] = full[i];
                join(&b, fields, ELEMENTSOF(full));
                assert_errno(spec_parse(&s, b.data, b.size, &e), -EINVAL, full[i]);
                if (!string_after(full[i], e.field) && !string_after(full[i + 1], e.field))
                        fail_msg("'%s' before '%s': the error names '%s'", full[i + 1], full[i], e.field);
        }
}

static void test_repeated(void **state _unused_)
{
        static const char *const single[] = {
                "reeve-spec=", "task=", "attempts=",         "uid=", "gid=",  "groups=", "cwd=",
                "umask=",      "nice=", "oom-score-adjust=", "tty=", "grace="
        };

        for (size_t i = 0; i < ELEMENTSOF(single); i++) {
                _cleanup_buffer_ Buffer b = { 0 };
                ReeveError e = REEVE_ERROR_NULL;
                size_t at = find(single[i]);
                Spec s;

                join(&b, full, at + 1);
                join(&b, full + at, ELEMENTSOF(full) - at);
                assert_errno(spec_parse(&s, b.data, b.size, &e), -EINVAL, single[i]);
                assert_true(string_after(single[i], e.field) != NULL);
                assert_non_null(strstr(e.text, "repeated"));
        }
}

static void test_not_a_spec(void **state _unused_)
{
        static const struct {
                const char *text;
                size_t size;
        } bad[] = {
                { "", 0 },
                { "", 1 },
                { "reeve-spec=1", 12 }, /* no NUL */
                { "reeve-spec=1\0\0", 14 },
                { "reeve-spec", 11 },
                { "reeve-spec=1\0unknown=1", 23 },
                { "\xff\xfe\n=", 5 },
        };
        ReeveError e;
        Spec s;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_error(spec_parse(&s, bad[i].text, bad[i].size, &e), e, REEVE_ERROR_INVALID_ARGUMENT,
                             "spec");
}

/* `head` fields of least, then n times `field` (printf with a number), then the rest. */
static int parse_many(size_t head, const char *format, unsigned n, ReeveError *reterr)
{
        _cleanup_buffer_ Buffer b = { 0 };
        Spec s;

        join(&b, least, head);
        for (unsigned i = 0; i < n; i++) {
                assert_int_equal(buffer_printf(&b, format, i), 0);
                assert_int_equal(buffer_append(&b, "", 1), 0);
        }
        join(&b, least + head, ELEMENTSOF(least) - head);
        *reterr = REEVE_ERROR_NULL;
        int r = spec_parse(&s, b.data, b.size, reterr);
        spec_done(&s);
        return r;
}

static void test_maxima(void **state _unused_)
{
        size_t end = ELEMENTSOF(least), arg = end - 1;
        ReeveError e;

        assert_ok(parse_many(arg, "env=A%u=", SPEC_ENV_MAX, &e), e);
        assert_error(parse_many(arg, "env=A%u=", SPEC_ENV_MAX + 1, &e), e, REEVE_ERROR_LIMIT_EXCEEDED,
                     "env");
        assert_ok(parse_many(end, "arg=%u", SPEC_ARGS_MAX - 1, &e), e);
        assert_error(parse_many(end, "arg=%u", SPEC_ARGS_MAX, &e), e, REEVE_ERROR_LIMIT_EXCEEDED, "arg");
        assert_ok(parse_many(end, "verify=%u", SPEC_VERIFY_MAX, &e), e);
        assert_error(parse_many(end, "verify=%u", SPEC_VERIFY_MAX + 1, &e), e, REEVE_ERROR_LIMIT_EXCEEDED,
                     "verify");
        assert_error(parse_many(arg, "limit=A%u:1", SPEC_LIMITS_MAX + 1, &e), e, REEVE_ERROR_LIMIT_EXCEEDED,
                     "limit");
        assert_ok(parse_many(arg, "property=A:%u", SPEC_PROPERTIES_MAX, &e), e);
        assert_error(parse_many(arg, "property=A:%u", SPEC_PROPERTIES_MAX + 1, &e), e,
                     REEVE_ERROR_LIMIT_EXCEEDED, "property");
}

/* A limit of a device may come again for another one; properties may come again. */
static void test_repeats(void **state _unused_)
{
        static const struct {
                const char *first, *second;
                int result;
        } pairs[] = {
                { "limit=IOReadIOPSMax:8:0 1", "limit=IOReadIOPSMax:8:16 1", 0 },
                { "limit=IOReadIOPSMax:8:0 1", "limit=IOReadIOPSMax:8:0 2", -EINVAL },
                { "limit=TasksMax:1", "limit=TasksMax:2", -EINVAL },
                { "property=IPAddressDeny:::1/128", "property=IPAddressDeny:::1/128", 0 },
                { "property=IPAddressDeny:::1/128", "limit=TasksMax:1", -EINVAL }, /* order */
        };

        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                const char *fields[ELEMENTSOF(least) + 2];
                size_t n = ELEMENTSOF(least) - 1; /* up to the command */
                _cleanup_buffer_ Buffer b = { 0 };
                ReeveError e;
                Spec s;

                memcpy(fields, least, sizeof(least));
                fields[n++] = pairs[i].first;
                fields[n++] = pairs[i].second;
                fields[n++] = "arg=true";
                join(&b, fields, n);
                assert_errno(spec_parse(&s, b.data, b.size, &e), pairs[i].result, pairs[i].second);
                spec_done(&s);
        }
}

static void test_groups_maximum(void **state _unused_)
{
        _cleanup_buffer_ Buffer b = { 0 };
        ReeveError e;

        assert_int_equal(buffer_append_text(&b, "groups=0"), 0);
        for (unsigned i = 1; i < SPEC_GROUPS_MAX; i++)
                assert_int_equal(buffer_printf(&b, ",%u", i), 0);
        assert_ok(parse_with(find("groups="), b.data, &e), e);
        assert_int_equal(buffer_append_text(&b, ",1"), 0);
        assert_error(parse_with(find("groups="), b.data, &e), e, REEVE_ERROR_LIMIT_EXCEEDED, "groups");
}

static void test_size_maximum(void **state _unused_)
{
        _cleanup_free_ char *text = calloc(SPEC_SIZE_MAX + 1, 1);
        ReeveError e;
        Spec s;
        int fd;

        assert_non_null(text);
        assert_error(spec_parse(&s, text, SPEC_SIZE_MAX + 1, &e), e, REEVE_ERROR_LIMIT_EXCEEDED, "spec");
        assert_error(spec_seal(text, SPEC_SIZE_MAX + 1, &fd, &e), e, REEVE_ERROR_LIMIT_EXCEEDED, "spec");
}

static void test_round_trip(void **state _unused_)
{
        _cleanup_free_ char *text = NULL, *again = NULL;
        _cleanup_buffer_ Buffer b = { 0 };
        ReeveError e = REEVE_ERROR_NULL;
        size_t size, size_again;
        Spec s, t;

        join(&b, full, ELEMENTSOF(full));
        assert_ok(spec_parse(&s, b.data, b.size, &e), e);
        assert_ok(spec_format(&s, &text, &size, &e), e);
        assert_int_equal(size, b.size);
        assert_memory_equal(text, b.data, size);

        assert_ok(spec_parse(&t, text, size, &e), e);
        assert_ok(spec_format(&t, &again, &size_again, &e), e);
        assert_int_equal(size_again, size);
        assert_memory_equal(again, text, size);
        spec_done(&s);
        spec_done(&t);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_full),         cmocka_unit_test(test_least),
                cmocka_unit_test(test_bad_values),   cmocka_unit_test(test_missing),
                cmocka_unit_test(test_stdio_kinds),  cmocka_unit_test(test_attach),
                cmocka_unit_test(test_attach_bad),   cmocka_unit_test(test_order),
                cmocka_unit_test(test_repeated),     cmocka_unit_test(test_not_a_spec),
                cmocka_unit_test(test_maxima),       cmocka_unit_test(test_groups_maximum),
                cmocka_unit_test(test_size_maximum), cmocka_unit_test(test_round_trip),
                cmocka_unit_test(test_repeats),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

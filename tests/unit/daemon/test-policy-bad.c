/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Policies that must not load. policy/bad holds one fault a file, whose first line says the message that is expected. What is
 * too large for a file in the tree, or is none, is made here. */

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "daemon/policy/policy-internal.h"
#include "tests/unit/test.h"

#define BAD_DIRECTORY SOURCE_ROOT "/tests/unit/daemon/policy/bad"
#define EXPECT        "# expect: "
#define BAD_MIN       60
#define PATIENCE_USEC (10 * USEC_PER_SEC) /* under valgrind, on a busy machine */

static void check_bad(const char *name)
{
        _cleanup_free_ char *path = string_printf("%s/%s", BAD_DIRECTORY, name), *text = NULL;
        ReeveError e = REEVE_ERROR_NULL;
        Policy *p = NULL;
        size_t size;

        if (fd_read_file_alloc(AT_FDCWD, path, 1 << 20, &text, &size) < 0)
                fail_msg("cannot read %s", path);
        const char *line = string_after(text, EXPECT);
        if (!line)
                fail_msg("%s does not begin with '%s'", name, EXPECT);
        _cleanup_free_ char *expected = string_printf("bad:%.*s", (int)strcspn(line, "\n"), line);

        if (policy_parse("bad", text, size, &p, &e) >= 0)
                fail_msg("%s was accepted, expected '%s'", name, expected);
        assert_null(p);
        if (e.code != REEVE_ERROR_INVALID_ARGUMENT || !streq(e.text, expected))
                fail_msg("%s: expected '%s', got %d '%s'", name, expected, e.code, e.text);
}

static void test_each_fault_gives_its_message(void **state _unused_)
{
        size_t n = 0;

        DIR *d = opendir(BAD_DIRECTORY);
        assert_non_null(d);
        for (struct dirent *entry; (entry = readdir(d));)
                if (entry->d_name[0] != '.') {
                        check_bad(entry->d_name);
                        n++;
                }
        closedir(d);
        if (n < BAD_MIN)
                fail_msg("there are only %zu bad policies, expected %d", n, BAD_MIN);
}

/* ---- too much ---- */

static usec_t now(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return usec_from_timespec(&ts);
}

/* Refused in bounded time, with this in the message. */
static void expect_refused(const char *what, const char *text, size_t size, const char *expected)
{
        ReeveError e = REEVE_ERROR_NULL;
        Policy *p = NULL;
        usec_t begin = now();

        if (policy_parse("bomb", text, size, &p, &e) >= 0)
                fail_msg("%s was accepted", what);
        if (!strstr(e.text, expected))
                fail_msg("%s: expected '%s', got '%s'", what, expected, e.text);
        if (now() - begin > PATIENCE_USEC)
                fail_msg("%s took %llu s", what, (unsigned long long)((now() - begin) / USEC_PER_SEC));
}

static void test_bombs(void **state _unused_)
{
        static const char laughs[] =
                        "version: 1\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                        "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\ndefaults: *c\n";
        _cleanup_buffer_ Buffer flat = { 0 }, keys = { 0 }, deep = { 0 }, cases = { 0 };

        expect_refused("laughs", laughs, strlen(laughs), "anchors and aliases are not supported");

        buffer_append_text(&flat, "version: 1\ndefaults: {retry: {on: [");
        buffer_append_text(&keys, "version: 1\ndefaults: {limits: {");
        buffer_append_text(&cases, "version: 1\ndefaults:\n  cases:\n");
        for (int i = 0; i < 20000; i++) {
                buffer_append_text(&flat, "oom,");
                buffer_printf(&keys, "k%d: 1,", i);
                buffer_append_text(&cases, "  - {match: {title: x}, priority: 1}\n");
                buffer_append_text(&deep, "[");
        }
        expect_refused("a long list", flat.data, flat.size, "too many values");
        expect_refused("many keys", keys.data, keys.size, "too many values");
        expect_refused("many cases", cases.data, cases.size, "too many values");
        expect_refused("deep nesting", deep.data, deep.size, "nested too deeply");
}

/* Just within the bounds of the tree: it loads, and not for ever. */
static void test_as_much_as_is_allowed(void **state _unused_)
{
        _cleanup_(policy_unrefp) Policy *p = NULL;
        _cleanup_buffer_ Buffer b = { 0 };
        ReeveError e = REEVE_ERROR_NULL;
        usec_t begin = now();

        buffer_append_text(&b, "version: 1\nsubsystems:\n");
        for (int i = 0; i < 1400; i++)
                buffer_printf(&b,
                              "  s%d: {max_parallel: 4, task_types: {t: {priority: 3, sla: {deadline: "
                              "1h}}}}\n",
                              i);
        assert_ok(policy_parse("large", b.data, b.size, &p, &e), e);
        assert_true(now() - begin < PATIENCE_USEC);
}

/* ---- directories ---- */

typedef struct Place {
        char root[64];
        char directory[96];
} Place;

static int set_up(void **state)
{
        Place *place = calloc(1, sizeof(*place));
        if (!place)
                return -1;
        snprintf(place->root, sizeof(place->root), "/tmp/reeve-test-policy-XXXXXX");
        if (!mkdtemp(place->root))
                return -1;
        snprintf(place->directory, sizeof(place->directory), "%s/policy.d", place->root);
        *state = place;
        return mkdir(place->directory, 0755);
}

static int remove_one(const char *path, const struct stat *st _unused_, int type _unused_,
                      struct FTW *ftw _unused_)
{
        return remove(path);
}

static int tear_down(void **state)
{
        Place *place = *state;

        nftw(place->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(place);
        return 0;
}

static void write_file(const Place *place, const char *name, const char *begin, size_t comment)
{
        _cleanup_free_ char *path = string_printf("%s/%s", place->directory, name);

        FILE *f = fopen(path, "we");
        assert_non_null(f);
        fputs(begin, f);
        for (size_t i = 0; i < comment / 64; i++)
                fputs("# ------------------------------------------------------------\n", f);
        fclose(f);
}

static void expect_load(const Place *place, ReeveErrorCode code, const char *expected)
{
        ReeveError e = REEVE_ERROR_NULL;
        Policy *p = NULL;
        usec_t begin = now();

        if (policy_load(place->directory, &p, &e) >= 0)
                fail_msg("it was loaded, expected '%s'", expected);
        assert_null(p);
        if (e.code != code || !strstr(e.text, expected))
                fail_msg("expected %d '%s', got %d '%s'", code, expected, e.code, e.text);
        assert_true(now() - begin < PATIENCE_USEC);
}

static void test_ten_megabytes(void **state)
{
        write_file(*state, "10.yaml", "version: 1\n", 10 << 20);
        expect_load(*state, REEVE_ERROR_INVALID_ARGUMENT, "10.yaml:1:1: the file is larger than 1 MiB");
}

static void test_large_together(void **state)
{
        for (int i = 0; i < 5; i++) {
                char name[32];
                snprintf(name, sizeof(name), "%d.yaml", i);
                write_file(*state, name, "version: 1\n", 1000 << 10);
        }
        expect_load(*state, REEVE_ERROR_INVALID_ARGUMENT,
                    "4.yaml:1:1: the files are larger than 4 MiB together");
}

static void test_many_files(void **state)
{
        for (int i = 0; i < 101; i++) {
                char name[32];
                snprintf(name, sizeof(name), "%03d.yaml", i);
                write_file(*state, name, "version: 1\n", 0);
        }
        expect_load(*state, REEVE_ERROR_INVALID_ARGUMENT, "100.yaml:1:1: there are more than 100 files");
}

/* A pipe, which would never end, and a directory. */
static void test_what_is_no_file(void **state)
{
        const Place *place = *state;
        _cleanup_free_ char *path = string_printf("%s/10.yaml", place->directory);

        assert_int_equal(mkfifo(path, 0644), 0);
        expect_load(place, REEVE_ERROR_INVALID_ARGUMENT, "10.yaml:1:1: not a regular file");
        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkdir(path, 0755), 0);
        expect_load(place, REEVE_ERROR_INVALID_ARGUMENT, "10.yaml:1:1: not a regular file");
        assert_int_equal(rmdir(path), 0);
        assert_int_equal(symlink("nowhere", path), 0);
        expect_load(place, REEVE_ERROR_INTERNAL, "No such file");
}

static void test_the_first_fault_ends_it(void **state)
{
        write_file(*state, "10.yaml", "version: 1\ndefaults: {priority: 3}\n", 0);
        write_file(*state, "20.yaml", "version: 1\ndefaults: {priority: 30}\n", 0);
        write_file(*state, "30.yaml", "nonsense", 0);
        expect_load(*state, REEVE_ERROR_INVALID_ARGUMENT, "20.yaml:2:22: defaults.priority");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_each_fault_gives_its_message),
                cmocka_unit_test(test_bombs),
                cmocka_unit_test(test_as_much_as_is_allowed),
                cmocka_unit_test_setup_teardown(test_ten_megabytes, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_large_together, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_many_files, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_what_is_no_file, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_the_first_fault_ends_it, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Settings: what a directory of files gives, that the documents say the same as the table, and what a bad
 * file is told. */

#include "daemon/settings/settings.h"

#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "daemon/settings/settings-table.h"
#include "tests/unit/test.h"

static char directory[] = "/tmp/reeve-test-settings-XXXXXX";

static void put(const char *name, const char *text)
{
        _cleanup_free_ char *path = string_printf("%s/%s", directory, name);
        _cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
}

static void drop(const char *name)
{
        _cleanup_free_ char *path = string_printf("%s/%s", directory, name);
        assert_int_equal(unlink(path), 0);
}

static int make_directory(void **state)
{
        strcpy(directory, "/tmp/reeve-test-settings-XXXXXX");
        return mkdtemp(directory) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        return remove(path);
}

static int remove_directory(void **state)
{
        return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void assert_defaults(const Settings *s)
{
        const Settings *d = &settings_default;

        assert_int_equal(s->sampling.min_usec, d->sampling.min_usec);
        assert_int_equal(s->sampling.max_usec, d->sampling.max_usec);
        assert_int_equal(s->sampling.tick_usec, d->sampling.tick_usec);
        assert_int_equal(s->output.cap_bytes, d->output.cap_bytes);
        assert_int_equal(s->grace_usec, d->grace_usec);
        assert_int_equal(s->backup.interval_usec, d->backup.interval_usec);
        assert_int_equal(s->backup.keep, d->backup.keep);
        assert_int_equal(s->line_log.max_bytes, d->line_log.max_bytes);
        assert_int_equal(s->line_log.files, d->line_log.files);
        assert_int_equal(s->limits.tasks_per_uid, d->limits.tasks_per_uid);
        assert_int_equal(s->limits.connections, d->limits.connections);
}

static void test_defaults(void **state _unused_)
{
        ReeveError e = REEVE_ERROR_NULL;
        Settings s = { .grace_usec = 77 };

        assert_ok(settings_load("/nonexistent/reeved.conf.d", &s, &e), e);
        assert_defaults(&s);

        put("10-empty.yaml", "# nothing but a comment\n");
        s.grace_usec = 77;
        assert_ok(settings_load(directory, &s, &e), e);
        assert_defaults(&s);
}

static void test_later_files_win(void **state _unused_)
{
        ReeveError e = REEVE_ERROR_NULL;
        Settings s;

        put("20-b.yaml", "grace: 10s\nlimits: {tasks_per_uid: 5}\n");
        put("10-a.yaml", "grace: 1min\noutput:\n  cap: 1M\nbackup: {interval: infinity, keep: 7}\n");
        put("30-c.yml", "grace: nonsense\n");   /* not our suffix */
        put(".40-d.yaml", "grace: nonsense\n"); /* hidden */
        put("50.yaml.bak", "grace: nonsense\n");
        put("60-e.yaml", "sampling:\n  min: 2s\n  max: \"1h\"\n  tick: 500ms\n");
        assert_ok(settings_load(directory, &s, &e), e);
        assert_int_equal(s.grace_usec, 10 * USEC_PER_SEC);
        assert_int_equal(s.output.cap_bytes, 1 << 20);
        assert_int_equal(s.backup.interval_usec, 0);
        assert_int_equal(s.backup.keep, 7);
        assert_int_equal(s.limits.tasks_per_uid, 5);
        assert_int_equal(s.limits.connections, settings_default.limits.connections);
        assert_int_equal(s.sampling.min_usec, 2 * USEC_PER_SEC);
        assert_int_equal(s.sampling.max_usec, USEC_PER_HOUR);
        assert_int_equal(s.sampling.tick_usec, 500 * USEC_PER_MSEC);

        put("70-f.yaml", "output: {cap: infinity}\n");
        assert_ok(settings_load(directory, &s, &e), e);
        assert_int_equal(s.output.cap_bytes, 0);
}

/* Loads one bad file and expects its message, which begins with the file's path. */
static void expect_message(const char *text, const char *field, const char *message)
{
        _cleanup_free_ char *expected = string_printf("%s/x.yaml%s", directory, message);
        ReeveError e = REEVE_ERROR_NULL;
        Settings s = settings_default;

        put("x.yaml", text);
        assert_error(settings_load(directory, &s, &e), e, REEVE_ERROR_INVALID_ARGUMENT, field);
        assert_string_equal(e.text, expected);
        assert_defaults(&s);
        drop("x.yaml");
}

static void test_bad_files(void **state _unused_)
{
        static const struct {
                const char *text, *field, *message;
        } bad[] = {
                { "smapling:\n  min: 1s\n", "smapling",
                  ":1:1: unknown key 'smapling'; did you mean 'sampling'?" },
                { "sampling:\n  tikc: 1s\n", "sampling.tikc",
                  ":2:3: unknown key 'tikc'; did you mean 'tick'?" },
                { "colour: red\n", "colour", ":1:1: unknown key 'colour'" },
                { "\"gr\\nce\": 1\n", "gr?ce", ":1:1: unknown key 'gr?ce'; did you mean 'grace'?" },
                { "sampling: 5s\n", "sampling", ":1:11: sampling must be a mapping, not a single value" },
                { "sampling:\n", "sampling", ":1:10: sampling must be a mapping, not nothing" },
                { "- grace\n", "", ":1:1: the file must be a mapping, not a list" },
                { "grace: [5s]\n", "grace",
                  ":1:8: grace must be a time span such as 30s or 1h 30min, not a list" },
                { "grace: 5 parsecs\n", "grace",
                  ":1:8: grace (time between SIGTERM and SIGKILL) must be a time span such as 30s or 1h "
                  "30min, not "
                  "'5 parsecs'" },
                { "grace: 2h\n", "grace",
                  ":1:8: grace (time between SIGTERM and SIGKILL) must be from 0 to 1h, not '2h'" },
                { "grace: infinity\n", "grace",
                  ":1:8: grace (time between SIGTERM and SIGKILL) must be from 0 to 1h, not 'infinity'" },
                { "backup: {keep: 0}\n", "backup.keep",
                  ":1:16: backup.keep (copies that are kept) must be from 1 to 100, not '0'" },
                { "backup: {keep: 1.5}\n", "backup.keep",
                  ":1:16: backup.keep (copies that are kept) must be a whole number, not '1.5'" },
                { "backup: {keep: 99999999999999999999}\n", "backup.keep",
                  ":1:16: backup.keep (copies that are kept) must be from 1 to 100, not "
                  "'99999999999999999999'" },
                { "output: {cap: 1K}\n", "output.cap",
                  ":1:15: output.cap (output that is kept of an attempt) must be from 64.0K to 1.0T or "
                  "infinity, not "
                  "'1K'" },
                { "grace: 1s\ngrace: 2s\n", "", ":2:1: key 'grace' is there twice, first in line 1" },
        };
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                expect_message(bad[i].text, bad[i].field, bad[i].message);
}

static void test_keys_together(void **state _unused_)
{
        ReeveError e = REEVE_ERROR_NULL;
        Settings s = settings_default;

        put("10.yaml", "sampling: {min: 10min}\n");
        assert_error(settings_load(directory, &s, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "sampling.min");
        assert_non_null(strstr(e.text, "sampling.min (10min 0s) is above sampling.max (5min 0s)"));
        put("20.yaml", "sampling: {max: 20min}\n");
        assert_ok(settings_load(directory, &s, &e), e);
        assert_int_equal(s.sampling.max_usec, 20 * USEC_PER_MINUTE);
}

static void test_unreadable(void **state _unused_)
{
        _cleanup_free_ char *folder = string_printf("%s/dir.yaml", directory);
        ReeveError e = REEVE_ERROR_NULL;
        Settings s;

        assert_int_equal(mkdir(folder, 0700), 0);
        assert_int_equal(settings_load(directory, &s, &e), -EISDIR);
        assert_non_null(strstr(e.text, "dir.yaml"));

        assert_int_equal(settings_load("/dev/null", &s, &e), -ENOTDIR);
        assert_non_null(strstr(e.text, "/dev/null"));
}

/* Every key of the table is in docs/settings.md with its meaning, and in the example. */
static void check_documented(const char *docs, const char *example, const char *prefix,
                             const YamlField *fields)
{
        for (const YamlField *f = fields; f->key; f++) {
                _cleanup_free_ char *path = string_printf("%s%s%s", prefix, prefix[0] ? "." : "", f->key);
                _cleanup_free_ char *row = string_printf("| `%s` |", path),
                                    *key = string_printf("%s:", f->key);
                if (!strstr(example, key))
                        fail_msg("%s is not in config/reeved.conf.d/10-example.yaml", path);
                if (f->type == YAML_FIELD_MAP) {
                        check_documented(docs, example, path, f->fields);
                        continue;
                }
                const char *found = strstr(docs, row);
                if (!found)
                        fail_msg("%s is not in docs/settings.md", path);
                _cleanup_free_ char *line = strndup(found, strcspn(found, "\n"));
                if (!strstr(line, f->text))
                        fail_msg("%s: docs/settings.md does not say '%s'", path, f->text);
        }
}

/* The example, with its comment signs removed, is valid and says the defaults. */
static void check_example(char *example)
{
        ReeveError e = REEVE_ERROR_NULL;
        Settings s = { 0 };
        char *w = strstr(example, "\n\n");

        for (const char *r = w; *r; r++)
                if (*r != '#')
                        *w++ = *r;
        *w = '\0';
        put("10-example.yaml", strstr(example, "\n\n"));
        assert_ok(settings_load(directory, &s, &e), e);
        assert_defaults(&s);
}

static void test_documents(void **state _unused_)
{
        _cleanup_free_ char *docs = NULL, *example = NULL;

        assert_int_equal(fd_read_file_alloc(AT_FDCWD, SOURCE_ROOT "/docs/settings.md", 1 << 20, &docs, NULL),
                         0);
        assert_int_equal(fd_read_file_alloc(AT_FDCWD, SOURCE_ROOT "/config/reeved.conf.d/10-example.yaml",
                                            1 << 20, &example, NULL),
                         0);
        check_documented(docs, example, "", settings_fields);
        check_example(example);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_defaults),      TEST(test_later_files_win), TEST(test_bad_files),
                TEST(test_keys_together), TEST(test_unreadable),      TEST(test_documents),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

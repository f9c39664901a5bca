/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The sealed specification: what is not written, that only a sealed memfd with the right name is opened, and the names and
 * descriptors that it refers to. */

#include "common/spec/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "tests/unit/test.h"

/* A Spec as libreeve fills it. */
static Spec plain(char **argv)
{
        return (Spec){ .task_id = "t",
                       .attempts = 1,
                       .cwd = "/",
                       .grace_usec = USEC_INFINITY,
                       .argv = argv,
                       .n_argv = 1 };
}

static void test_format_refuses(void **state _unused_)
{
        char *argv[] = { (char *)"true", NULL };
        char *text = NULL;
        ReeveError e;
        size_t size;

        Spec s = plain(argv);
        s.cwd = "relative";
        assert_error(spec_format(&s, &text, &size, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "cwd");
        s = plain(argv);
        s.cwd = NULL;
        assert_error(spec_format(&s, &text, &size, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "cwd");
        s = plain(argv);
        s.n_argv = 0;
        assert_error(spec_format(&s, &text, &size, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "arg");
        s = plain(argv);
        s.has_groups = true;
        assert_error(spec_format(&s, &text, &size, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "groups");
        s = plain(argv);
        s.limits[s.n_limits++] = (SpecLimit){ .name = "A:B", .value = "1" };
        assert_error(spec_format(&s, &text, &size, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "limit");
        s = plain(argv);
        s.properties[s.n_properties++] = (SpecLimit){ .name = "A:B", .value = "1" };
        assert_error(spec_format(&s, &text, &size, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "property");
        s = plain(argv);
        s.n_properties = SPEC_PROPERTIES_MAX + 1;
        assert_error(spec_format(&s, &text, &size, &e), e, REEVE_ERROR_LIMIT_EXCEEDED, "property");
        s = plain(argv);
        s.rlimits[RLIMIT_CPU] = (SpecRlimit){ .set = true, .soft = 2, .hard = 1 };
        assert_error(spec_format(&s, &text, &size, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "rlimit");
        assert_null(text);

        s = plain(argv);
        assert_ok(spec_format(&s, &text, &size, &e), e);
        free(text);
}

static void test_seal_and_open(void **state _unused_)
{
        static const char written[] = "reeve-spec=1\0task=t"; /* what is sealed is not looked at */
        _cleanup_free_ char *text = NULL;
        _cleanup_fd_ int fd = -EBADF;
        ReeveError e = REEVE_ERROR_NULL;
        uid_t author = 12345;
        size_t size;

        assert_ok(spec_seal(written, sizeof(written), &fd, &e), e);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(pwrite(fd, "x", 1, 0), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(ftruncate(fd, 1), -1);

        assert_ok(spec_open(fd, &author, &text, &size, &e), e);
        assert_int_equal(author, geteuid());
        assert_int_equal(size, sizeof(written));
        assert_memory_equal(text, written, size);
}

/* Makes a memfd of a specification with this name and these seals. */
static int make_memfd(const char *name, int seals)
{
        int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_full(fd, "reeve-spec=1", 13), 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
        return fd;
}

static void test_open_refuses(void **state _unused_)
{
        static const int all = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
        static const struct {
                const char *name;
                int seals;
        } bad[] = {
                { "reeve-spec", all & ~F_SEAL_WRITE },
                { "reeve-spec", all & ~F_SEAL_GROW },
                { "reeve-spec", all & ~F_SEAL_SHRINK },
                { "reeve-spec", all & ~F_SEAL_SEAL },
                { "reeve-spec", (all & ~F_SEAL_WRITE) | F_SEAL_FUTURE_WRITE },
                { "reeve-spec2", all },
                { "reeve-spe", all },
                { "x/memfd:reeve-spec", all },
                { "", all },
        };
        _cleanup_fd_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        char *text = NULL;
        ReeveError e;
        size_t size;
        uid_t author;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_fd_ int fd = make_memfd(bad[i].name, bad[i].seals);
                assert_error(spec_open(fd, &author, &text, &size, &e), e, REEVE_ERROR_INVALID_ARGUMENT,
                             "spec");
        }
        assert_error(spec_open(null, &author, &text, &size, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "spec");
        assert_error(spec_open(-EBADF, &author, &text, &size, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "spec");

        _cleanup_fd_ int empty = -EBADF;
        assert_ok(spec_seal("", 0, &empty, &e), e);
        assert_error(spec_open(empty, &author, &text, &size, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "spec");

        _cleanup_fd_ int good = make_memfd("reeve-spec", all);
        char path[64];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", good);
        _cleanup_fd_ int as_path = open(path, O_PATH | O_CLOEXEC);
        assert_true(as_path >= 0);
        assert_error(spec_open(as_path, &author, &text, &size, &e), e, REEVE_ERROR_INVALID_ARGUMENT, "spec");
        assert_null(text);
}

static void test_open_too_large(void **state _unused_)
{
        _cleanup_fd_ int fd = memfd_create(SPEC_MEMFD_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        char *text = NULL;
        ReeveError e;
        size_t size;
        uid_t author;

        assert_int_equal(ftruncate(fd, SPEC_SIZE_MAX + 1), 0);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL),
                         0);
        assert_error(spec_open(fd, &author, &text, &size, &e), e, REEVE_ERROR_LIMIT_EXCEEDED, "spec");
        assert_null(text);
}

static void test_rlimit_names(void **state _unused_)
{
        for (int i = 0; i < RLIM_NLIMITS; i++) {
                const char *name = spec_rlimit_name(i);
                assert_non_null(name);
                assert_int_equal(spec_rlimit_from_name(name), i);
        }
        assert_null(spec_rlimit_name(-1));
        assert_null(spec_rlimit_name(RLIM_NLIMITS));
        assert_int_equal(spec_rlimit_from_name(""), -EINVAL);
        assert_int_equal(spec_rlimit_from_name("nofile"), -EINVAL);
}

static void test_stdio_matches(void **state _unused_)
{
        _cleanup_fd_ int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        _cleanup_fd_ int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        SpecStdio s;

        assert_int_equal(spec_stdio_from_fd(&s, null), 0);
        assert_int_equal(s.kind, SPEC_STDIO_FD);
        assert_int_equal(spec_stdio_matches(&s, null), 1);
        assert_int_equal(spec_stdio_matches(&s, zero), 0);
        assert_int_equal(spec_stdio_matches(&s, -EBADF), -EBADF);
        assert_int_equal(spec_stdio_from_fd(&s, -EBADF), -EBADF);
        s.kind = SPEC_STDIO_NULL;
        assert_int_equal(spec_stdio_matches(&s, null), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_format_refuses), cmocka_unit_test(test_seal_and_open),
                cmocka_unit_test(test_open_refuses),   cmocka_unit_test(test_open_too_large),
                cmocka_unit_test(test_rlimit_names),   cmocka_unit_test(test_stdio_matches),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

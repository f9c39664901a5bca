/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The client of PID 1 against one that answers as the test wants: every way in which a start can go wrong ends it, once and
 * with its reason; no more than 64 are under way; "done" is not believed. Processes are files of a tree. */

#include "launcher/systemd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "basic/fd.h"
#include "tests/unit/common/tree.h"

#define STARTS_MAX 256

typedef struct Fake {
        Tree *tree;
        sd_event *event;
        Systemd *client;
        char address[128];
        int listen_fd;
        sd_bus *bus;        /* to the client, while it is connected */
        const char *refuse; /* name of the error that StartTransientUnit gets, or NULL */
        unsigned n_asked, n_stopped, n_answered, n_good;
        char asked[STARTS_MAX][UNIT_NAME_SIZE];
        ReeveError last;
} Fake;

static int on_start(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        Fake *f = userdata;
        const char *unit, *mode;

        assert_true(sd_bus_message_read(m, "ss", &unit, &mode) > 0);
        assert_true(f->n_asked < STARTS_MAX);
        strcpy(f->asked[f->n_asked++], unit);
        if (f->refuse)
                return sd_bus_reply_method_errorf(m, f->refuse, "not that one");
        return sd_bus_reply_method_return(m, "o", "/org/freedesktop/systemd1/job/1");
}

static int on_stop(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        ((Fake *)userdata)->n_stopped++;
        return sd_bus_reply_method_return(m, "o", "/org/freedesktop/systemd1/job/2");
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("StartTransientUnit", "ssa(sv)a(sa(sv))", "o", on_start, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("StopUnit", "ss", "o", on_stop, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int on_connection(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Fake *f = userdata;
        sd_id128_t id = SD_ID128_NULL;

        id.bytes[0] = 1;
        int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        assert_true(c >= 0);
        assert_null(f->bus);
        assert_true(sd_bus_new(&f->bus) >= 0 && sd_bus_set_fd(f->bus, c, c) >= 0 &&
                    sd_bus_set_server(f->bus, 1, id) >= 0 && sd_bus_set_anonymous(f->bus, true) >= 0 &&
                    sd_bus_add_object_vtable(f->bus, NULL, SYSTEMD_OBJECT, SYSTEMD_MANAGER, vtable, f) >=
                                    0 &&
                    sd_bus_start(f->bus) >= 0 && sd_bus_attach_event(f->bus, f->event, 0) >= 0);
        return 0;
}

static void hang_up(Fake *f)
{
        f->bus = sd_bus_flush_close_unref(f->bus);
}

static int fake_setup(void **state)
{
        static Fake fake;
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        assert_int_equal(set_up(state), 0);
        fake = (Fake){ .tree = *state };
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", fake.tree->path);
        snprintf(fake.address, sizeof(fake.address), "unix:path=%s", address.sun_path);
        fake.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(fake.listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(fake.listen_fd, 8), 0);
        assert_true(sd_event_new(&fake.event) >= 0);
        assert_true(sd_event_add_io(fake.event, NULL, fake.listen_fd, EPOLLIN, on_connection, &fake) >= 0);
        assert_int_equal(systemd_new(fake.event, fake.tree->fd, fake.address, &fake.client), 0);
        *state = &fake;
        return 0;
}

static int fake_teardown(void **state)
{
        Fake *f = *state;

        systemd_free(f->client);
        hang_up(f);
        sd_event_unref(f->event);
        fd_close(f->listen_fd);
        *state = f->tree;
        return tear_down(state);
}

static void put(const Fake *f, int pid, const char *file, const char *text)
{
        char path[64];

        snprintf(path, sizeof(path), "%d", pid);
        (void)mkdirat(f->tree->fd, path, 0755);
        snprintf(path, sizeof(path), "%d/%s", pid, file);
        _cleanup_fd_ int fd = openat(f->tree->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_int_equal(fd_write_full(fd, text, strlen(text)), 0);
}

static void put_process(const Fake *f, int pid, char state, const char *cgroup)
{
        char text[128];

        snprintf(text, sizeof(text), "%d (x) %c 1 1 1 0 -1 0", pid, state);
        put(f, pid, "stat", text);
        snprintf(text, sizeof(text), "3:cpu:/elsewhere\n0::/%s\n", cgroup);
        put(f, pid, "cgroup", text);
}

static void on_started(const ReeveError *error, void *userdata)
{
        Fake *f = userdata;

        f->n_answered++;
        f->n_good += !error;
        if (error)
                f->last = *error;
}

/* Asks for the unit u<pid>.scope, whose place is s/u<pid>.scope. */
static void start(Fake *f, int pid)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        char unit[32], cgroup[64];

        snprintf(unit, sizeof(unit), "u%d.scope", pid);
        snprintf(cgroup, sizeof(cgroup), "s/%s", unit);
        assert_true(systemd_start_prepare(f->client, unit, "replace", &m) >= 0);
        assert_true(sd_bus_message_append(m, "(sv)", "Delegate", "b", true) >= 0);
        assert_true(systemd_start_complete(m, pid) >= 0);
        assert_int_equal(systemd_start(f->client, m, &(SystemdStart){ unit, cgroup, pid, on_started, f }),
                         0);
}

static void job_ends(Fake *f, int pid, const char *result)
{
        char unit[32];

        snprintf(unit, sizeof(unit), "u%d.scope", pid);
        assert_true(sd_bus_emit_signal(f->bus, SYSTEMD_OBJECT, SYSTEMD_MANAGER, "JobRemoved", "uoss", 1,
                                       "/org/freedesktop/systemd1/job/1", unit, result) >= 0);
}

/* Runs the loop until nothing more happens by itself. */
static void settle(Fake *f)
{
        while (sd_event_run(f->event, 20000) > 0)
                ;
}

static void test_done(void **state)
{
        Fake *f = *state;

        put_process(f, 7, 'S', "s/u7.scope");
        start(f, 7);
        settle(f);
        assert_int_equal(f->n_asked, 1);
        assert_string_equal(f->asked[0], "u7.scope");
        assert_int_equal(f->n_answered, 0);
        job_ends(f, 8, "done"); /* somebody else's */
        settle(f);
        assert_int_equal(f->n_answered, 0);
        job_ends(f, 7, "done");
        settle(f);
        assert_int_equal(f->n_answered, 1);
        assert_int_equal(f->n_good, 1);
        assert_int_equal(f->n_stopped, 0);
}

/* A zombie, and a process that another unit has taken: the scope without it is stopped. */
static void test_done_is_not_believed(void **state)
{
        Fake *f = *state;

        put_process(f, 7, 'S', "s/u7.scope");
        put_process(f, 8, 'S', "s/other.scope");
        start(f, 7);
        start(f, 8);
        settle(f);
        put_process(f, 7, 'Z', "s/u7.scope");
        job_ends(f, 7, "done");
        job_ends(f, 8, "done");
        settle(f);
        assert_int_equal(f->n_answered, 2);
        assert_int_equal(f->n_good, 0);
        assert_int_equal(f->n_stopped, 2);
        assert_int_equal(f->last.code, REEVE_ERROR_UNAVAILABLE);
}

static void test_job_fails(void **state)
{
        Fake *f = *state;

        put_process(f, 7, 'S', "s/u7.scope");
        start(f, 7);
        settle(f);
        job_ends(f, 7, "canceled");
        settle(f);
        assert_int_equal(f->n_answered, 1);
        assert_int_equal(f->n_good, 0);
        assert_non_null(strstr(f->last.text, "canceled"));
}

static void test_refusals(void **state)
{
        static const struct {
                const char *name;
                ReeveErrorCode code;
        } cases[] = {
                { SD_BUS_ERROR_INVALID_ARGS, REEVE_ERROR_INVALID_ARGUMENT },
                { SD_BUS_ERROR_PROPERTY_READ_ONLY, REEVE_ERROR_INVALID_ARGUMENT },
                { SD_BUS_ERROR_ACCESS_DENIED, REEVE_ERROR_POLICY_VIOLATION },
                { SD_BUS_ERROR_LIMITS_EXCEEDED, REEVE_ERROR_LIMIT_EXCEEDED },
                { "org.freedesktop.systemd1.UnitExists", REEVE_ERROR_UNAVAILABLE },
                { "org.example.Unheard", REEVE_ERROR_UNAVAILABLE },
        };
        Fake *f = *state;

        put_process(f, 7, 'S', "s/u7.scope");
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                f->refuse = cases[i].name;
                start(f, 7);
                settle(f);
                assert_int_equal(f->n_answered, i + 1);
                if (f->last.code != cases[i].code)
                        fail_msg("%s: expected %d, got %d", cases[i].name, cases[i].code, f->last.code);
                assert_non_null(strstr(f->last.text, "not that one"));
        }
        assert_int_equal(f->n_good, 0);
}

/* What is out, what has a job and what waits: all are told, once. Then there is a new connection. */
static void test_hang_up(void **state)
{
        Fake *f = *state;

        for (int pid = 100; pid < 170; pid++) {
                char cgroup[32];

                snprintf(cgroup, sizeof(cgroup), "s/u%d.scope", pid);
                put_process(f, pid, 'S', cgroup);
                start(f, pid);
        }
        settle(f);
        hang_up(f);
        settle(f);
        assert_int_equal(f->n_answered, 70);
        assert_int_equal(f->n_good, 0);
        assert_int_equal(f->last.code, REEVE_ERROR_UNAVAILABLE);

        start(f, 100);
        settle(f);
        job_ends(f, 100, "done");
        settle(f);
        assert_int_equal(f->n_answered, 71);
        assert_int_equal(f->n_good, 1);
}

/* 64 are under way; each that ends makes room for the next, in the order in which they came. */
static void test_ceiling(void **state)
{
        Fake *f = *state;

        for (int pid = 100; pid < 170; pid++) {
                char cgroup[32];

                snprintf(cgroup, sizeof(cgroup), "s/u%d.scope", pid);
                put_process(f, pid, 'S', cgroup);
                start(f, pid);
        }
        settle(f);
        assert_int_equal(f->n_asked, 64);
        put_process(f, 165, 'Z', ""); /* while it waited for its turn */
        for (int pid = 100; pid < 170; pid++) {
                if (pid == 165)
                        continue;
                job_ends(f, pid, "done");
                settle(f);
        }
        assert_int_equal(f->n_asked, 69);
        assert_string_equal(f->asked[64], "u164.scope");
        assert_string_equal(f->asked[65], "u166.scope");
        assert_int_equal(f->n_answered, 70);
        assert_int_equal(f->n_good, 69);
}

static void test_nobody_listens(void **state)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        Fake *f = *state;
        char path[80];

        snprintf(path, sizeof(path), "%s/socket", f->tree->path);
        assert_int_equal(unlink(path), 0);
        assert_true(systemd_start_prepare(f->client, "u7.scope", "replace", &m) < 0);
        assert_null(m);
        systemd_ask(f->client, "StopUnit", "u7.scope"); /* nothing to hear, nothing to crash on */
}

static void test_places(void **state)
{
        Fake *f = *state;
        char root[64], small[4];

        put_process(f, 1, 'S', "init.scope");
        assert_int_equal(systemd_root(f->tree->fd, root, sizeof(root)), 0);
        assert_string_equal(root, "");
        put_process(f, 1, 'S', "machine.slice/x/init.scope");
        assert_int_equal(systemd_root(f->tree->fd, root, sizeof(root)), 0);
        assert_string_equal(root, "machine.slice/x");
        assert_int_equal(systemd_root(f->tree->fd, small, sizeof(small)), -ENAMETOOLONG);
        put_process(f, 1, 'S', "");
        assert_int_equal(systemd_root(f->tree->fd, root, sizeof(root)), -ENODATA);

        assert_false(systemd_is_place_of(f->tree->fd, 7, "s/u7.scope"));
        put_process(f, 7, 'S', "s/u7.scope");
        assert_true(systemd_is_place_of(f->tree->fd, 7, "s/u7.scope"));
        assert_false(systemd_is_place_of(f->tree->fd, 7, "s/u7.scop"));
        put(f, 7, "cgroup", "1:name=systemd:/s/u7.scope\n");
        assert_false(systemd_is_place_of(f->tree->fd, 7, "s/u7.scope"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, fake_setup, fake_teardown)
        const struct CMUnitTest tests[] = {
                TEST(done),    TEST(done_is_not_believed), TEST(job_fails), TEST(refusals), TEST(hang_up),
                TEST(ceiling), TEST(nobody_listens),       TEST(places),
        };

        return cmocka_run_group_tests_name("launcher/systemd", tests, NULL, NULL);
}

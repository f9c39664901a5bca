/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Nothing here sleeps: readiness comes by sd_notify, the progress of records by inotify, ends of processes by pidfd,
 * each with a generous time limit. */

#include "tests/component/launcher/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd.h"
#include "common/cgroup/cgroup.h"
#include "common/clock.h"
#include "common/instance.h"

#define TIME_LIMIT_MSEC 20000

extern char **environ;

const char *fixture_obstacle(void)
{
        if (geteuid() != 0)
                return "not root";
        if (!getpwnam("reeve"))
                return "there is no user reeve";
        return getenv("REEVE_LAUNCHER") ? NULL : "REEVE_LAUNCHER does not name the binary";
}

static void wait_readable(int fd, const char *what)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };

        if (poll(&p, 1, TIME_LIMIT_MSEC) <= 0)
                fail_msg("%s: nothing came in %d ms", what, TIME_LIMIT_MSEC);
}

static int setup(void **state, const char *backend)
{
        Fixture *f = NEW0(Fixture, 1);
        const struct passwd *pw = getpwnam("reeve");
        char path[128];

        assert_non_null(f);
        assert_non_null(pw);
        snprintf(f->root, sizeof(f->root), "%s/reeve-launcher-test-XXXXXX", getenv("TMPDIR") ?: "/tmp");
        assert_non_null(mkdtemp(f->root));
        f->backend = backend;
        f->reeve_uid = pw->pw_uid;
        f->reeve_gid = pw->pw_gid;

        struct sockaddr_un address = { .sun_family = AF_UNIX };
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", f->root);
        f->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(f->notify_fd, (struct sockaddr *)&address, sizeof(address)), 0);

        snprintf(path, sizeof(path), "%s/tasks", f->root);
        assert_int_equal(mkdir(path, 0750), 0);
        f->records_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        f->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        assert_true(inotify_add_watch(f->inotify_fd, path, IN_CLOSE_WRITE | IN_DELETE | IN_MODIFY) >= 0);
        *state = f;
        launcher_start(f, NULL, NULL);
        return 0;
}

int fixture_setup(void **state)
{
        return setup(state, "auto");
}

int fixture_setup_process(void **state)
{
        return setup(state, "process");
}

static void connect_bus(Fixture *f)
{
        char address[128];

        snprintf(address, sizeof(address), "unix:path=%s/launcher", f->root);
        assert_true(sd_bus_new(&f->bus) >= 0);
        assert_true(sd_bus_set_address(f->bus, address) >= 0);
        assert_true(sd_bus_negotiate_fds(f->bus, true) >= 0);
        assert_true(sd_bus_start(f->bus) >= 0);
}

void launcher_start(Fixture *f, const char *crash_at, const char *once)
{
        char root[96], backend[32], text[64];
        const char *binary = getenv("REEVE_LAUNCHER");

        snprintf(root, sizeof(root), "--root=%s", f->root);
        snprintf(backend, sizeof(backend), "--backend=%s", f->backend);
        f->launcher = fork();
        assert_true(f->launcher >= 0);
        if (f->launcher == 0) {
                char notify[96];

                snprintf(notify, sizeof(notify), "%s/notify", f->root);
                setenv("NOTIFY_SOCKET", notify, 1);
                if (crash_at)
                        setenv("REEVE_CRASH_AT", crash_at, 1);
                if (once)
                        setenv("REEVE_CRASH_ONCE", once, 1);
                execl(binary, binary, root, backend, NULL);
                _exit(126);
        }
        do {
                wait_readable(f->notify_fd, "READY of the launcher");
                ssize_t n = recv(f->notify_fd, text, sizeof(text) - 1, 0);
                text[MAX(n, 0)] = '\0';
        } while (!strstr(text, "READY=1"));
        connect_bus(f);
}

void launcher_wait(Fixture *f)
{
        int status;

        assert_int_equal(waitpid(f->launcher, &status, 0), f->launcher);
        f->launcher = 0;
        f->bus = sd_bus_close_unref(f->bus);
}

void launcher_end(Fixture *f, int signal)
{
        assert_int_equal(kill(f->launcher, signal), 0);
        launcher_wait(f);
}

void wait_for_pid(pid_t pid)
{
        _cleanup_fd_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);

        if (fd >= 0)
                wait_readable(fd, "end of a process");
}

/* Removes a tree of directories, and of files where `files` says so. Returns how many directories were in the way
 * of an empty one below `depth` levels: cgroups of tasks, when it is a pool. */
static int remove_tree(int parent_fd, const char *name, bool files, int depth)
{
        int found = 0, fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        const struct dirent *d;

        while (dir && (d = readdir(dir))) {
                if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
                        continue;
                if (d->d_type == DT_DIR)
                        found += remove_tree(fd, d->d_name, files, depth - 1);
                else if (files)
                        unlinkat(fd, d->d_name, 0);
        }
        if (dir)
                closedir(dir);
        unlinkat(parent_fd, name, AT_REMOVEDIR);
        return found + (depth == 0);
}

static void wait_for_empty(int pool_fd)
{
        bool populated = true;

        _cleanup_fd_ int fd = openat(pool_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        while (cgroup_events(pool_fd, &populated, NULL) >= 0 && populated) {
                struct pollfd p = { .fd = fd, .events = POLLPRI };
                char text[256];

                if (fd_pread_file(fd, text, sizeof(text)) < 0 || strstr(text, "populated 0"))
                        break;
                if (poll(&p, 1, TIME_LIMIT_MSEC) <= 0)
                        fail_msg("the pool does not get empty");
        }
}

static void end_below(int pool_fd, const char *name)
{
        _cleanup_fd_ int fd = openat(pool_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return;
        (void)fd_write_file_at(fd, "cgroup.kill", "1");
        wait_for_empty(fd);
}

/* Ends what a failed test left; returns how many leaves were not gone. */
static int clean_pool(Fixture *f)
{
        ReeveError e;
        Instance i;
        char path[128];
        int mount_fd, left = 0;

        assert_ok(instance_init(&i, f->root, NULL, &e), e);
        if (cgroup_open_mount(&mount_fd, NULL) < 0)
                return 0;
        if (sd_booted() > 0)
                snprintf(path, sizeof(path), "reeve.slice/%s.slice/%s-pool.scope", i.prefix, i.prefix);
        else
                snprintf(path, sizeof(path), "%s.pool", i.prefix);
        _cleanup_fd_ int pool_fd = openat(mount_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (pool_fd >= 0) {
                end_below(pool_fd, "keepers");
                end_below(pool_fd, "tasks");
                left = remove_tree(pool_fd, "tasks", false, 2); /* tasks, uid, leaf */
                (void)fd_write_file_at(pool_fd, "cgroup.kill",
                                       "1"); /* a scope's holder; systemd removes it then */
                remove_tree(mount_fd, path, false, -1);
        }
        close(mount_fd);
        return left;
}

int fixture_teardown(void **state)
{
        Fixture *f = *state;

        if (f->launcher > 0)
                launcher_end(f, SIGTERM);
        int left = clean_pool(f);
        remove_tree(AT_FDCWD, f->root, true, -1);
        close(f->records_fd);
        close(f->inotify_fd);
        close(f->notify_fd);
        free(f);
        if (left != 0)
                print_error("%d task cgroups were left\n", left);
        return left;
}

Order *order_new(const char *script)
{
        static unsigned number;
        static char ids[256][16];
        Order *o = NEW0(Order, 1);

        assert_non_null(o);
        snprintf(ids[number % 256], sizeof(ids[0]), "t%u", number);
        o->spec = (Spec){
                .task_id = ids[number++ % 256],
                .attempts = 3,
                .cwd = "/",
                .umask = 022,
                .grace_usec = USEC_INFINITY,
                .stdio = { { .kind = SPEC_STDIO_NULL },
                           { .kind = SPEC_STDIO_OUTPUT },
                           { .kind = SPEC_STDIO_OUTPUT } },
                .argv = o->argv,
                .env = o->env,
        };
        o->argv[0] = (char *)"/bin/sh";
        o->argv[1] = (char *)"-c";
        o->argv[2] = (char *)script;
        o->env[0] = (char *)"PATH=/usr/bin:/bin";
        o->attempt = 1;
        o->deadline_boottime = USEC_INFINITY;
        o->grace = USEC_INFINITY;
        o->spec_fd = -EBADF;
        return o;
}

void order_free(Order *o)
{
        fd_close(o->spec_fd);
        sd_bus_error_free(&o->error);
        free(o);
}

void order_seal(Order *o)
{
        _cleanup_free_ char *text = NULL;
        ReeveError e = REEVE_ERROR_NULL;
        size_t size;

        for (o->spec.n_argv = 0; o->argv[o->spec.n_argv]; o->spec.n_argv++)
                ;
        for (o->spec.n_env = 0; o->env[o->spec.n_env]; o->spec.n_env++)
                ;
        assert_ok(spec_format(&o->spec, &text, &size, &e), e);
        o->spec_fd = fd_close(o->spec_fd);
        /* The kernel takes the owner of a memfd from this. */
        setfsuid(o->author);
        int r = spec_seal(text, size, &o->spec_fd, &e);
        setfsuid(0);
        assert_ok(r, e);
}

int order_authorize(Fixture *f, Order *o)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const void *ticket;
        size_t size;

        sd_bus_error_free(&o->error);
        int r = sd_bus_call_method(f->bus, NULL, LAUNCHER_OBJECT, LAUNCHER_INTERFACE, "Authorize", &o->error,
                                   &reply, "h", o->spec_fd);
        if (r < 0)
                return r;
        assert_true(sd_bus_message_read_array(reply, 'y', &ticket, &size) > 0);
        assert_int_equal(size, LAUNCHER_TICKET_SIZE);
        memcpy(o->ticket, ticket, size);
        return 0;
}

static sd_bus_message *launch_message(Fixture *f, Order *o)
{
        const char *method = o->method ?: o->spec.attach.pid > 0 ? "Adopt" : "Launch";
        sd_bus_message *m = NULL;

        assert_true(sd_bus_message_new_method_call(f->bus, &m, NULL, LAUNCHER_OBJECT, LAUNCHER_INTERFACE,
                                                   method) >= 0);
        assert_true(sd_bus_message_append(m, "h", o->spec_fd) >= 0);
        assert_true(sd_bus_message_append_array(m, 'y', o->ticket, sizeof(o->ticket)) >= 0);
        assert_true(sd_bus_message_append(m, "u", o->attempt) >= 0);
        assert_true(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        assert_true(sd_bus_message_append(m, "{sv}", "deadline", "t", o->deadline_boottime) >= 0);
        assert_true(sd_bus_message_append(m, "{sv}", "grace", "t", o->grace) >= 0);
        assert_true(sd_bus_message_append(m, "{sv}", "output_cap", "t", o->output_cap) >= 0);
        if (o->wanted_backend)
                assert_true(sd_bus_message_append(m, "{sv}", "backend", "s", o->wanted_backend) >= 0);
        if (o->added_env)
                assert_true(sd_bus_message_append(m, "{sv}", "environment", "as", 1, o->added_env) >= 0);
        if (o->limit_name)
                assert_true(sd_bus_message_append(m, "{sv}", "limits", "a(ss)", 1, o->limit_name,
                                                  o->limit_value) >= 0);
        if (o->added_name && *o->added_type == 's')
                assert_true(sd_bus_message_append(m, "{sv}", o->added_name, "s", "1") >= 0);
        else if (o->added_name)
                assert_true(sd_bus_message_append(m, "{sv}", o->added_name, "a(ss)", 1, "FailureAction",
                                                  "reboot") >= 0);
        assert_true(sd_bus_message_close_container(m) >= 0);
        assert_true(sd_bus_message_open_container(m, 'a', "h") >= 0);
        for (size_t i = 0; i < o->n_fds; i++)
                assert_true(sd_bus_message_append(m, "h", o->fds[i]) >= 0);
        assert_true(sd_bus_message_close_container(m) >= 0);
        return m;
}

int order_launch(Fixture *f, Order *o)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = launch_message(f, o), *reply = NULL;

        sd_bus_error_free(&o->error);
        int r = sd_bus_call(f->bus, m, 0, &o->error, &reply);
        if (r < 0)
                return r;
        assert_true(sd_bus_message_read(reply, "i", &o->pid) > 0);
        return 0;
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
        return 0;
}

int program_start(Fixture *f, Order *o, const Program *p)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        bool check = strcmp(p->method, "Check") == 0;

        assert_true(sd_bus_message_new_method_call(f->bus, &m, NULL, LAUNCHER_OBJECT, LAUNCHER_INTERFACE,
                                                   p->method) >= 0);
        if (check) {
                assert_true(sd_bus_message_append(m, "h", o->spec_fd) >= 0);
                assert_true(sd_bus_message_append_array(m, 'y', o->ticket, sizeof(o->ticket)) >= 0);
        }
        assert_true(sd_bus_message_append(m, "u", o->attempt) >= 0);
        assert_true(sd_bus_message_open_container(m, 'a', "{sv}") >= 0);
        if (p->deadline_boottime > 0)
                assert_true(sd_bus_message_append(m, "{sv}", "deadline", "t", p->deadline_boottime) >= 0);
        if (p->added_env)
                assert_true(sd_bus_message_append(m, "{sv}", "environment", "as", 1, p->added_env) >= 0);
        if (o->added_name && *o->added_type == 's')
                assert_true(sd_bus_message_append(m, "{sv}", o->added_name, "s", "1") >= 0);
        else if (o->added_name)
                assert_true(sd_bus_message_append(m, "{sv}", o->added_name, "a(ss)", 1, "FailureAction",
                                                  "reboot") >= 0);
        assert_true(sd_bus_message_close_container(m) >= 0);
        assert_true(sd_bus_message_open_container(m, 'a', "h") >= 0);
        for (size_t i = 0; i < p->n_stdin_fds; i++)
                assert_true(sd_bus_message_append(m, "h", p->stdin_fds[i]) >= 0);
        assert_true(sd_bus_message_close_container(m) >= 0);
        assert_true(sd_bus_message_append(m, "s", p->name) >= 0);
        if (check)
                assert_true(sd_bus_message_append(m, "u", p->authored) >= 0);
        assert_true(sd_bus_message_append_strv(m, (char **)p->argv) >= 0);
        sd_bus_error_free(&o->error);
        int r = sd_bus_call(f->bus, m, 0, &o->error, NULL);
        return MIN(r, 0);
}

Order program_order(const Order *o, const Program *p)
{
        return (Order){ .spec.task_id = p->name, .attempt = o->attempt };
}

void order_launch_async(Fixture *f, Order *o)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = launch_message(f, o);

        assert_true(sd_bus_call_async(f->bus, NULL, m, on_answer, NULL, 0) >= 0);
        assert_true(sd_bus_flush(f->bus) >= 0);
}

void order_start(Fixture *f, Order *o)
{
        order_seal(o);
        if (order_authorize(f, o) < 0)
                fail_msg("Authorize: %s: %s", o->error.name, o->error.message);
        if (order_launch(f, o) < 0)
                fail_msg("Launch or Adopt: %s: %s", o->error.name, o->error.message);
}

static const char *order_name(const Order *o)
{
        static char name[TASK_ATTEMPT_NAME_SIZE];
        return task_attempt_name(o->spec.task_id, o->attempt, name);
}

/* Waits until something happens among the records; what was read before is looked at again by the caller. */
static void wait_for_event(Fixture *f, const char *what)
{
        char events[4096];

        wait_readable(f->inotify_fd, what);
        while (read(f->inotify_fd, events, sizeof(events)) > 0)
                ;
}

const Record *order_wait(Fixture *f, const Order *o, RecordPhase phase)
{
        for (;;) {
                const Record *r;

                if (record_map(f->records_fd, order_name(o), &r) >= 0) {
                        /* The keeper's exit is what ends it, and only then the leaf is gone. */
                        if (record_phase(r) >= phase &&
                            (phase < RECORD_ENDED || record_lock_is_free(f->records_fd, order_name(o)) == 1))
                                return r;
                        record_unmap(r);
                }
                wait_for_event(f, order_name(o));
        }
}

const Record *order_run(Fixture *f, Order *o)
{
        order_start(f, o);
        return order_wait(f, o, RECORD_ENDED);
}

bool order_has_record(Fixture *f, const Order *o)
{
        return faccessat(f->records_fd, order_name(o), F_OK, 0) == 0;
}

void order_wait_gone(Fixture *f, const Order *o)
{
        while (order_has_record(f, o))
                wait_for_event(f, "removal of a record");
}

int order_call(Fixture *f, Order *o, const char *method, const char *types, ...)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        va_list ap;

        sd_bus_error_free(&o->error);
        assert_true(sd_bus_message_new_method_call(f->bus, &m, NULL, LAUNCHER_OBJECT, LAUNCHER_INTERFACE,
                                                   method) >= 0);
        assert_true(sd_bus_message_append(m, "su", o->spec.task_id, o->attempt) >= 0);
        va_start(ap, types);
        assert_true(sd_bus_message_appendv(m, types, ap) >= 0);
        va_end(ap);
        return sd_bus_call(f->bus, m, 0, &o->error, NULL);
}

void order_forget(Fixture *f, Order *o)
{
        sd_bus_error_free(&o->error);
        assert_true(sd_bus_call_method(f->bus, NULL, LAUNCHER_OBJECT, LAUNCHER_INTERFACE, "Forget",
                                       &o->error, NULL, "a(su)", 1, o->spec.task_id, o->attempt) >= 0);
}

size_t order_output(Fixture *f, const Order *o, char *buffer, size_t size)
{
        char path[256];

        snprintf(path, sizeof(path), "%s/output/%s", f->root, order_name(o));
        ssize_t n = fd_read_file_at(AT_FDCWD, path, buffer, size);
        if (n < 0)
                fail_msg("%s: %s", path, strerror((int)-n));
        return (size_t)n;
}

void order_wait_output(Fixture *f, const Order *o, const char *text)
{
        char path[256], buffer[4096], events[4096];
        int fd = inotify_init1(IN_CLOEXEC);

        snprintf(path, sizeof(path), "%s/output/%s", f->root, order_name(o));
        assert_true(inotify_add_watch(fd, path, IN_MODIFY) >= 0);
        for (;;) {
                order_output(f, o, buffer, sizeof(buffer));
                if (strstr(buffer, text))
                        break;
                wait_readable(fd, text);
                assert_true(read(fd, events, sizeof(events)) > 0);
        }
        close(fd);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A registry for tests of the command line: it speaks io.reeve.Registry by the real server and definition, so that
 * each call is checked against the interface, and answers as it was told.
 *
 *     fake-reeved SOCKET DEFINITION ANSWERS LOG
 *
 * ANSWERS is a JSON object: for each method an array of {"when": {parameters}, "replies": [...], "error": NAME,
 * "parameters": {...}, "hang": bool}; the first entry whose "when" is part of the call's parameters is taken. All but
 * the last reply go out as notifications, all of them if it is to hang or an error follows. LOG gets each call as a line of JSON, that of Run
 * with the specification as it was parsed.
 *
 * Run is not canned: it executes the command, with the descriptors that were passed (others are /dev/null), and nothing
 * else of a launcher. Wait for such a task answers when it has ended, Cancel and Signal reach it. One at a time. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/strings.h"
#include "common/json/json.h"
#include "common/spec/spec.h"
#include "common/varlink/varlink-server.h"

static struct {
        sd_event *event;
        json_t *answers;
        FILE *log;
        json_t *task; /* that was run */
        pid_t pid;
        VarlinkCall *waiting;
        VarlinkCall *hanging[64]; /* never answered */
        size_t n_hanging;
} fake;

static const char *method_of(VarlinkCall *call)
{
        return strrchr(varlink_call_method(call), '.') + 1;
}

static void log_call(VarlinkCall *call, json_t *parameters, json_t *spec)
{
        _cleanup_json_ json_t *line = json_pack("{s:s, s:O, s:o*}", "method", method_of(call), "parameters",
                                                parameters, "spec", spec);
        json_dumpf(line, fake.log, JSON_COMPACT);
        fputc('\n', fake.log);
        fflush(fake.log);
}

static bool is_part_of(json_t *part, const json_t *whole)
{
        const char *key;
        json_t *value;

        json_object_foreach(part, key, value)
                if (!json_equal(value, json_object_get(whole, key)))
                        return false;
        return true;
}

static json_t *find_answer(VarlinkCall *call, json_t *parameters)
{
        json_t *answer;
        size_t i;

        json_array_foreach(json_object_get(fake.answers, method_of(call)), i, answer)
                if (is_part_of(json_object_get(answer, "when"), parameters))
                        return answer;
        return NULL;
}

static int on_canned(VarlinkCall *call, json_t *parameters, void *userdata)
{
        json_t *answer = find_answer(call, parameters), *reply;
        size_t i;

        log_call(call, parameters, NULL);
        if (!answer)
                return varlink_call_error(call, "io.reeve.Registry.Internal",
                                          json_pack("{s:s}", "message", "the test has no answer to this"));
        const char *error = json_get_string(answer, "error");
        json_t *replies = json_object_get(answer, "replies");
        bool hang = json_is_true(json_object_get(answer, "hang"));
        json_array_foreach(replies, i, reply) {
                bool last = i + 1 == json_array_size(replies) && !hang && !error;
                int r = last ? varlink_call_reply(call, json_incref(reply))
                             : varlink_call_notify(call, json_incref(reply));
                if (r < 0)
                        return r;
        }
        if (error)
                return varlink_call_error(call, error, json_incref(json_object_get(answer, "parameters")));
        if (hang && fake.n_hanging < ELEMENTSOF(fake.hanging))
                fake.hanging[fake.n_hanging++] = varlink_call_ref(call);
        else if (json_array_size(replies) == 0)
                return varlink_call_reply(call, NULL);
        return 0;
}

static json_t *strings(char *const *v)
{
        json_t *list = json_array();
        for (; v && *v; v++)
                json_array_append_new(list, json_string(*v));
        return list;
}

static json_t *spec_to_json(const Spec *s, uid_t author)
{
        json_t *limits = json_object(), *rlimits = json_object(), *stdio = json_array();

        for (size_t i = 0; i < s->n_limits; i++)
                json_set_string(limits, s->limits[i].name, s->limits[i].value);
        for (int i = 0; i < RLIM_NLIMITS; i++)
                if (s->rlimits[i].set)
                        json_object_set_new(rlimits, spec_rlimit_name(i),
                                            json_pack("[I, I]", (json_int_t)s->rlimits[i].soft,
                                                      (json_int_t)s->rlimits[i].hard));
        for (size_t i = 0; i < SPEC_STDIO_COUNT; i++)
                json_array_append_new(stdio, json_integer(s->stdio[i].kind));
        return json_pack("{s:s, s:i, s:i, s:i, s:i, s:s, s:i, s:i, s:b, s:o, s:o, s:o, s:o, s:o, s:s?}",
                         "task", s->task_id, "author", (int)author, "attempts", (int)s->attempts, "uid",
                         (int)s->uid, "gid", (int)s->gid, "cwd", s->cwd, "umask", (int)s->umask, "nice",
                         s->nice, "tty", s->tty, "env", strings(s->env), "argv", strings(s->argv), "limits",
                         limits, "rlimits", rlimits, "stdio", stdio, "slice", s->slice);
}

static _noreturn_ void exec_task(const Spec *s, const int fds[static SPEC_STDIO_COUNT])
{
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setsid();
        for (int i = 0; i < SPEC_STDIO_COUNT; i++)
                dup2(fds[i], i);
        if (s->tty)
                ioctl(0, TIOCSCTTY, 0);
        if (chdir(s->cwd) < 0)
                _exit(126);
        execve(s->argv[0], s->argv, s->env);
        _exit(127);
}

/* Parent's copies of the descriptors are closed with the call. */
static int start_task(VarlinkCall *call, const Spec *s)
{
        int fds[SPEC_STDIO_COUNT], next = 1;

        for (size_t i = 0; i < SPEC_STDIO_COUNT; i++) {
                fds[i] = s->stdio[i].kind == SPEC_STDIO_FD ? varlink_call_take_fd(call, (size_t)next++)
                                                           : open("/dev/null", O_RDWR | O_CLOEXEC);
                if (fds[i] < 0 ||
                    (s->stdio[i].kind == SPEC_STDIO_FD && spec_stdio_matches(s->stdio + i, fds[i]) != 1))
                        return -EBADF;
        }
        fake.pid = fork();
        if (fake.pid == 0)
                exec_task(s, fds);
        for (size_t i = 0; i < SPEC_STDIO_COUNT; i++)
                fd_close(fds[i]);
        return fake.pid < 0 ? -errno : 0;
}

static void set_end(const siginfo_t *si)
{
        bool good = si->si_code == CLD_EXITED && si->si_status == 0;

        json_set_string(fake.task, "status", good ? "completed" : "failed");
        if (!good)
                json_set_string(fake.task, "outcome", si->si_code == CLD_EXITED ? "exit-code" : "signal");
        json_set_integer(fake.task, si->si_code == CLD_EXITED ? "exit_status" : "exit_signal",
                         si->si_status);
        json_set_integer(fake.task, "completed_at", 1800000001500000);
        json_set_real(fake.task, "duration_seconds", 1.5);
        json_object_set_new(fake.task, "usage",
                            json_pack("{s:i, s:i}", "cpu_usec", 1250000, "memory_peak_bytes", 2097152));
        json_object_set_new(
                        fake.task, "usage_sources",
                        json_pack("{s:s, s:s}", "cpu_usec", "kernel-final", "memory_peak_bytes", "rusage"));
}

static void answer_wait(void)
{
        if (!fake.waiting || fake.pid > 0)
                return;
        varlink_call_reply(fake.waiting, json_pack("{s:O}", "task", fake.task));
        fake.waiting = varlink_call_unref(fake.waiting);
}

static int on_exit_of_task(sd_event_source *s, const siginfo_t *si, void *userdata)
{
        set_end(si);
        fake.pid = 0;
        answer_wait();
        return 0;
}

static json_t *new_task(const Spec *s, json_t *parameters)
{
        return json_pack("{s:s, s:O, s:O, s:s, s:s, s:i, s:i, s:s, s:i, s:i, s:I, s:I, s:{}, s:{}}",
                         "task_id", s->task_id, "subsystem", json_object_get(parameters, "subsystem"),
                         "task_type", json_object_get(parameters, "task_type"), "title",
                         json_get_string(parameters, "title") ?: "", "kind", "launched", "owner_uid",
                         (int)geteuid(), "priority", 5, "status", "active", "attempt", 1, "attempts", 1,
                         "created_at", (json_int_t)1800000000000000, "started_at",
                         (json_int_t)1800000000000000, "usage", "usage_sources");
}

static int on_run(VarlinkCall *call, json_t *parameters, void *userdata)
{
        json_t *canned = find_answer(call, parameters);
        _cleanup_free_ char *text = NULL;
        ReeveError error = REEVE_ERROR_NULL;
        _cleanup_(spec_done) Spec s = { 0 };
        size_t size;
        uid_t author;

        if (canned)
                return on_canned(call, parameters, userdata);
        _cleanup_fd_ int memfd = varlink_call_take_fd(call, 0);
        if (spec_open(memfd, &author, &text, &size, &error) < 0 || spec_parse(&s, text, size, &error) < 0)
                return varlink_call_reeve_error(call, &error);
        log_call(call, parameters, spec_to_json(&s, author));

        int r = start_task(call, &s);
        if (r < 0) {
                reeve_error_errno(&error, r, "stdio", "cannot start the task");
                return varlink_call_reeve_error(call, &error);
        }
        json_decref(fake.task);
        fake.task = new_task(&s, parameters);
        r = sd_event_add_child(fake.event, NULL, fake.pid, WEXITED, on_exit_of_task, NULL);
        return r < 0 ? r : varlink_call_reply(call, json_pack("{s:O}", "task", fake.task));
}

/* As far as the client can see: nothing is moved. */
static int on_attach(VarlinkCall *call, json_t *parameters, void *userdata)
{
        _cleanup_free_ char *text = NULL;
        ReeveError error = REEVE_ERROR_NULL;
        _cleanup_(spec_done) Spec s = { 0 };
        size_t size;
        uid_t author;

        if (find_answer(call, parameters))
                return on_canned(call, parameters, userdata);
        _cleanup_fd_ int memfd = varlink_call_take_fd(call, 0);
        if (spec_open(memfd, &author, &text, &size, &error) < 0 || spec_parse(&s, text, size, &error) < 0)
                return varlink_call_reeve_error(call, &error);
        json_t *spec = spec_to_json(&s, author);
        json_object_set_new(spec, "attach",
                            json_pack("{s:i, s:I, s:b}", "pid", (int)s.attach.pid, "start",
                                      (json_int_t)s.attach.start, "children", s.attach.children));
        log_call(call, parameters, spec);
        return varlink_call_reply(call, json_pack("{s:o}", "task", new_task(&s, parameters)));
}

static int on_wait(VarlinkCall *call, json_t *parameters, void *userdata)
{
        const char *id = json_get_string(parameters, "task_id");

        if (!fake.task || !streq(json_get_string(fake.task, "task_id"), id) || find_answer(call, parameters))
                return on_canned(call, parameters, userdata);
        fake.waiting = varlink_call_ref(call);
        answer_wait();
        return 0;
}

static int on_end_task(VarlinkCall *call, json_t *parameters, void *userdata)
{
        if (fake.pid <= 0)
                return on_canned(call, parameters, userdata);
        log_call(call, parameters, NULL);
        kill(fake.pid, (int)json_get_integer(parameters, "signal", SIGTERM));
        return varlink_call_reply(call, NULL);
}

/* What is not canned. */
static const VarlinkMethod own_methods[] = {
        { "Run", on_run, 0 },         { "Attach", on_attach, 0 },
        { "Wait", on_wait, 0 },       { "Signal", on_end_task, 0 },
        { "Cancel", on_end_task, 0 }, { "Monitor", on_canned, VARLINK_METHOD_MORE },
};

#define METHODS_MAX 128

#define NAME_SIZE 64

/* Every method of the definition: one that is added to it needs no line here. Returns how many there are. */
static size_t list_methods(const char *definition, char names[][NAME_SIZE],
                           VarlinkMethod methods[static METHODS_MAX])
{
        static const char keyword[] = "\nmethod ";
        size_t n = 0;

        for (const char *at = definition; n < METHODS_MAX && (at = strstr(at, keyword)); n++) {
                at += strlen(keyword);
                snprintf(names[n], NAME_SIZE, "%.*s", (int)strcspn(at, "( "), at);
                methods[n] = (VarlinkMethod){ names[n], on_canned, 0 };
                for (size_t i = 0; i < ELEMENTSOF(own_methods); i++)
                        if (streq(own_methods[i].name, names[n]))
                                methods[n] = own_methods[i];
        }
        return n;
}

static int serve(const char *socket, const char *definition, ReeveError *reterr)
{
        static VarlinkMethod methods[METHODS_MAX];
        static char names[METHODS_MAX][NAME_SIZE];
        static VarlinkInterface interface = { .methods = methods };
        static const VarlinkServerInfo info = { "reeve", "fake-reeved", "0", "https://example.org" };
        _cleanup_(varlink_server_freep) VarlinkServer *server = NULL;

        interface.definition = definition;
        interface.n_methods = list_methods(definition, names, methods);
        int r = varlink_server_new(fake.event, &info, &server);
        if (r < 0)
                return r;
        r = varlink_server_add_interface(server, &interface, reterr);
        if (r < 0)
                return r;
        r = varlink_server_listen_path(server, socket, 0666, reterr);
        if (r < 0)
                return r;
        puts("READY");
        fflush(stdout);
        return sd_event_loop(fake.event);
}

int main(int argc, char **argv)
{
        _cleanup_free_ char *definition = NULL;
        ReeveError error = REEVE_ERROR_NULL;
        sigset_t set;

        if (argc != 5)
                return 2;
        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        sigaddset(&set, SIGTERM);
        sigprocmask(SIG_BLOCK, &set, NULL);

        fake.answers = json_load_file(argv[3], 0, NULL);
        fake.log = fopen(argv[4], "we");
        if (!fake.answers || !fake.log || sd_event_new(&fake.event) < 0 ||
            fd_read_file_alloc(AT_FDCWD, argv[2], 1 << 20, &definition, NULL) < 0 ||
            sd_event_add_signal(fake.event, NULL, SIGTERM, NULL, NULL) < 0)
                return 2;

        int r = serve(argv[1], definition, &error);
        if (r < 0)
                fprintf(stderr, "fake-reeved: %s\n", *error.text ? error.text : strerror(-r));
        while (fake.n_hanging > 0)
                varlink_call_unref(fake.hanging[--fake.n_hanging]);
        if (fake.waiting)
                varlink_call_unref(fake.waiting);
        json_decref(fake.task);
        json_decref(fake.answers);
        fclose(fake.log);
        sd_event_unref(fake.event);
        return r < 0;
}

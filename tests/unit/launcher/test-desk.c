/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A desk between this process, as the launcher, and a fork of it, as a keeper that writes down what it finds and ends when
 * nothing comes. */

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd.h"
#include "launcher/desk.h"
#include "launcher/launcher.h"
#include "tests/unit/test.h"

#define SAID 8192

/* What the keeper found, one block for each task, in memory that both have. */
typedef struct Found {
        unsigned tasks;
        char said[4][SAID];
} Found;

typedef struct World {
        Launcher l;
        Found *found;
        pid_t keeper;
        DeskSlot *slot;
        int record_fd;
        gid_t groups[2];
        Spec spec;
        Child child;
        Keeper k;
} World;

static const char *const short_argv[] = { "/bin/echo", "a b", "", NULL };
static const char *const short_env[] = { "A=1", "EMPTY=", NULL };

static int set_up(void **state)
{
        World *w = calloc(1, sizeof(*w));

        for (size_t i = 0; i < LAUNCHER_BUCKETS; i++)
                list_init(w->l.watched + i);
        w->l.oom_score_adj = 17;
        assert_int_equal(sd_event_new(&w->l.event), 0);
        w->found = mmap(NULL, sizeof(Found), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(w->found, MAP_FAILED);
        w->record_fd = memfd_create("record", MFD_CLOEXEC);
        assert_true(w->record_fd >= 0);
        assert_int_equal(ftruncate(w->record_fd, RECORD_SIZE), 0);
        w->groups[0] = 4;
        w->groups[1] = 27;
        w->spec = (Spec){
                .task_id = "t_1", .uid = 5, .gid = 6, .cwd = "/some where", .umask = 027, .nice = 3
        };
        w->spec.rlimits[RLIMIT_NOFILE] = (SpecRlimit){ true, 10, 20 };
        w->child = (Child){
                .spec = &w->spec,
                .argv = (char *const *)short_argv,
                .env = (char *const *)short_env,
                .search_path = "/x:/y",
                .groups = w->groups,
                .n_groups = 2,
                .program_fd = -EBADF,
                .stdio = { w->record_fd, STDERR_FILENO, STDERR_FILENO },
                .oom_score_adj = INT_MIN,
                .report_fd = -EBADF,
                .proc_fd = -EBADF,
        };
        w->k = (Keeper){
                .record_fd = w->record_fd,
                .mount_fd = -EBADF,
                .leaf_fd = -EBADF,
                .go_fd = -EBADF,
                .output_fd = -EBADF,
                .proc_fd = -EBADF,
                .net_fd = -EBADF,
                .child = &w->child,
                .desk_fd = -EBADF,
                .report_fd = -EBADF,
                .task_fd = -EBADF,
        };
        *state = w;
        return 0;
}

static int tear_down(void **state)
{
        World *w = *state;

        if (w->keeper > 0) {
                kill(w->keeper, SIGKILL);
                waitpid(w->keeper, NULL, 0);
                desk_gone(&w->l, w->keeper);
        }
        sd_event_unref(w->l.event);
        munmap(w->found, sizeof(Found));
        close(w->record_fd);
        free(w);
        return 0;
}

static void on_term(int signal) {}

static void write_down(Found *f, const Keeper *k)
{
        const Child *c = k->child;
        char *to = f->said[f->tasks];
        struct stat record, in;

        int n = snprintf(to, SAID, "%s %s %u %u %o %d %llu", c->spec->task_id, c->spec->cwd, c->spec->uid,
                         c->spec->gid, c->spec->umask, c->spec->nice,
                         (unsigned long long)c->spec->rlimits[RLIMIT_NOFILE].hard);
        for (char *const *s = c->argv; *s; s++)
                n += snprintf(to + n, SAID - (size_t)n, " <%.20s>", *s);
        for (char *const *s = c->env; *s; s++)
                n += snprintf(to + n, SAID - (size_t)n, " <%s>", *s);
        for (size_t i = 0; i < c->n_groups; i++)
                n += snprintf(to + n, SAID - (size_t)n, " %u", c->groups[i]);
        fstat(k->record_fd, &record);
        fstat(c->stdio[0], &in);
        snprintf(to + n, SAID - (size_t)n, " %s %d%s%s%s", c->search_path, c->oom_score_adj,
                 record.st_ino == in.st_ino ? " same" : "", c->stdio[1] == c->stdio[2] ? " twice" : "",
                 k->leaf_fd < 0 && k->seasoned ? " none" : "");
        desk_wipe(k);
        f->tasks++;
}

_noreturn_ static void be_keeper(const World *w, const Keeper *k)
{
        int keep[] = { k->desk_fd };
        sigset_t all;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        signal(SIGTERM, on_term);
        fd_close_all_but(keep, ELEMENTSOF(keep));
        for (Keeper *next; (next = desk_next(k)); k = next)
                write_down(w->found, next);
        _exit(0);
}

static void fork_keeper(World *w)
{
        Keeper k = w->k;

        w->slot = desk_prepare(&w->l, &k);
        assert_non_null(w->slot);
        w->keeper = fork();
        assert_true(w->keeper >= 0);
        if (w->keeper == 0)
                be_keeper(w, &k);
        desk_occupy(w->slot, &k, w->keeper);
        assert_int_equal(k.desk_fd, -EBADF);
}

/* Until the keeper has said that it is done. */
static void until_idle(World *w)
{
        while (!w->slot->idle)
                if (sd_event_run(w->l.event, 10 * USEC_PER_SEC) <= 0)
                        fail_msg("the keeper does not say that it is done");
}

static void until_gone(World *w)
{
        int status;

        assert_int_equal(waitpid(w->keeper, &status, 0), w->keeper);
        assert_int_equal(status, 0);
}

static void test_what_is_laid_is_found(void **state)
{
        World *w = *state;
        static const char expected[] = "t_1 /some where 5 6 27 3 20 </bin/echo> <a b> <> <A=1> <EMPTY=> 4 "
                                       "27 /x:/y 17 same twice none";

        fork_keeper(w);
        for (unsigned i = 0; i < 3; i++) {
                until_idle(w);
                pid_t pid = desk_hire(&w->l, &w->k);
                if (pid == 0) /* this machine took more than its 50 ms */
                        break;
                assert_int_equal(pid, w->keeper);
                assert_int_equal(desk_hire(&w->l, &w->k), 0);
        }
        until_gone(w);
        if (w->found->tasks == 0)
                skip();
        for (unsigned i = 0; i < w->found->tasks; i++)
                assert_string_equal(w->found->said[i], expected);
}

static void test_too_large(void **state)
{
        World *w = *state;
        char *large = malloc(DESK_SIZE + 1);
        const char *argv[] = { "/bin/echo", large, NULL };

        memset(large, 'x', DESK_SIZE);
        large[DESK_SIZE] = '\0';
        fork_keeper(w);
        until_idle(w);
        for (size_t size = DESK_SIZE; size > DESK_SIZE - 40000;
             size -= 997) { /* some fit, some do not, none breaks it */
                w->child.argv = (char *const *)argv;
                large[size] = '\0';
                if (desk_hire(&w->l, &w->k) > 0)
                        break;
        }
        until_gone(w);
        if (w->found->tasks > 0)
                assert_non_null(strstr(w->found->said[0], "<xxxxxxxxxxxxxxxxxxxx>"));
        free(large);
}

static void test_told_to_go(void **state)
{
        World *w = *state;

        fork_keeper(w);
        until_idle(w);
        kill(w->keeper, SIGTERM);
        until_gone(w);
        assert_int_equal(desk_hire(&w->l, &w->k), 0);
        assert_true(desk_gone(&w->l, w->keeper));
        assert_int_equal(w->found->tasks, 0);
        w->keeper = 0;
}

static void test_busy_is_not_idle(void **state)
{
        World *w = *state;

        fork_keeper(w);
        assert_int_equal(desk_hire(&w->l, &w->k), 0);
        kill(w->keeper, SIGKILL);
        waitpid(w->keeper, NULL, 0);
        if (!w->slot->idle) /* it never said anything */
                assert_false(desk_gone(&w->l, w->keeper));
        assert_int_equal(w->slot->keeper, 0);
        w->keeper = 0;
}

/* With more keepers than desks, the one that is longest at its task loses its own, and ends with it. */
static void test_the_oldest_loses_its_desk(void **state)
{
        World *w = *state;
        pid_t pids[DESKS + 1];

        for (size_t i = 0; i <= DESKS; i++) {
                Keeper k = w->k;
                DeskSlot *s = desk_prepare(&w->l, &k);

                assert_non_null(s);
                pids[i] = fork();
                assert_true(pids[i] >= 0);
                if (pids[i] == 0) {
                        pause(); /* at its task for ever */
                        _exit(0);
                }
                desk_occupy(s, &k, pids[i]);
        }
        for (size_t i = 0; i <= DESKS; i++) {
                bool has_desk = false;

                for (size_t j = 0; j < DESKS; j++)
                        has_desk |= w->l.desks[j].keeper == pids[i];
                if (has_desk != (i > 0))
                        fail_msg("keeper %zu of %d has %s desk", i, DESKS + 1, has_desk ? "a" : "no");
                kill(pids[i], SIGKILL);
                waitpid(pids[i], NULL, 0);
                desk_gone(&w->l, pids[i]);
        }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_what_is_laid_is_found),
                TEST(test_too_large),
                TEST(test_told_to_go),
                TEST(test_busy_is_not_idle),
                TEST(test_the_oldest_loses_its_desk),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}

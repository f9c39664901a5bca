/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A wish to be scheduled promptly: what the kernel has of it, and that children have nothing of it. */

#include "basic/sched.h"

#include <errno.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"

static struct sched_attr attributes(void)
{
        struct sched_attr attr = { 0 };

        assert_int_equal(syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0), 0);
        return attr;
}

/* Is the slice of a child that of its parent? The exit status: 0 no, 1 yes. */
static int child_has(uint64_t slice)
{
        int status;

        pid_t pid = fork();
        if (pid == 0)
                _exit(attributes().sched_runtime == slice);
        assert_true(pid > 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void test_prompt(void **state)
{
        struct sched_attr before = attributes();

        int r = sched_be_prompt();
        if (r == -EPERM || r == -ENOSYS)
                skip(); /* a filter of system calls */
        assert_int_equal(r, 0);
        struct sched_attr after = attributes();
        assert_int_equal(after.sched_policy, before.sched_policy);
        assert_int_equal(after.sched_nice, before.sched_nice);
        assert_true(after.sched_flags & SCHED_FLAG_RESET_ON_FORK);
        if (before.sched_runtime == 0)
                skip(); /* before Linux 6.12 there are no slices to choose */
        assert_true(after.sched_runtime < before.sched_runtime);
        assert_int_equal(child_has(after.sched_runtime), 0);
        assert_int_equal(sched_be_prompt(), 0);
        assert_int_equal(attributes().sched_runtime, after.sched_runtime);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_prompt),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}

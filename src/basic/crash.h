/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Named crash points, for the tests that kill each part of reeve at each step. In a developer build the environment
 * may name one as REEVE_CRASH_AT="<process>:<step>", for instance "keeper:reap" or "launcher:claim"; the process
 * that reaches it ends by SIGKILL. "reeved:commit#2" means the second time (and, without REEVE_CRASH_ONCE, each one
 * after it) that the process comes there. REEVE_CRASH_ONCE names a file: only who can unlink it crashes, so that what is
 * started again afterwards does not crash again.
 *
 * With REEVE_BREAK_DIR, a directory with two FIFOs, the process does not end there but waits: it writes its pid and a
 * newline into "reached" and goes on when "go" can be read, so that a test may kill anybody else at exactly that step.
 *
 * In a release build the macros are nothing. */

#include <sys/types.h>

#ifdef REEVE_CRASH_POINTS

/* Reads the environment; call it once at start. Without it no point is armed. */
void crash_init(void);

/* Kills `pid` (0: the caller) if this point is armed, or waits there. Async-signal-safe. */
void crash_point(const char *process, const char *step, pid_t pid);

#        define CRASH_INIT()               crash_init()
#        define CRASH_POINT(process, step) crash_point((process), (step), 0)
/* On behalf of another process, for steps that are the parent's but happen in its child. */
#        define CRASH_PARENT(process, step) crash_point((process), (step), getppid())
#else
#        define CRASH_INIT() \
                do {         \
                } while (0)
#        define CRASH_POINT(process, step) \
                do {                       \
                } while (0)
#        define CRASH_PARENT(process, step) \
                do {                        \
                } while (0)
#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Processes that tests start by themselves, to have them attached: children of the test, outside of every task. */

#include "tests/component/launcher/harness.h"

typedef struct Process {
        pid_t pid;
        int in;  /* its standard input: it reads what is to be done */
        int out; /* its standard output */
        bool reaped;
} Process;

/* What it is beside its command. */
typedef struct Person {
        uid_t uid[3]; /* real, effective, saved */
        gid_t gid[3];
        void (*before)(void); /* done as root, before it becomes this user, and ... */
        void (*after)(void);  /* done by it in the end, instead of executing the command */
} Person;

/* All ids are `uid`, the groups are its primary one. */
Person person_plain(uid_t uid);

/* Runs `sh -c script` as this person; waits for the line "ready", which the script must write. */
void process_start(Process *p, const Person *who, const char *script);
void process_say(Process *p, const char *line);
/* Waits for a line of output; fails if it is another. */
void process_expect(Process *p, const char *line);
/* Reaps it; gives its wait status. */
int process_reap(Process *p);
/* Kills it, with all that it started, and reaps it, unless that was done. */
void process_done(Process *p);
#define _cleanup_process_ _cleanup_(process_done)

/* An order of `author` that attaches the process, with its own ids and this boot. */
Order *order_attach(uid_t author, pid_t pid);

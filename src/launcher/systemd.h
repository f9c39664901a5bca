/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The client of PID 1: starts transient scopes and stops units, without ever blocking the loop. */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "basic/error.h"
#include "common/unit-name.h"

#define SYSTEMD_SOCKET      "unix:path=/run/systemd/private"
#define SYSTEMD_DESTINATION "org.freedesktop.systemd1"
#define SYSTEMD_OBJECT      "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER     "org.freedesktop.systemd1.Manager"

typedef struct Systemd Systemd;

/* For a host whose PID 1 is systemd (sd_booted()). Nothing is connected before there is something to ask for. `event`
 * is referenced; `proc_fd` and `address` (SYSTEMD_SOCKET) are borrowed and must live as long. */
int systemd_new(sd_event *event, int proc_fd, const char *address, Systemd **ret);
Systemd *systemd_free(Systemd *s);

/* Where systemd's own tree begins, relative to the cgroup2 mount: "" or "a/b". -ENODATA if PID 1 does not show it. */
int systemd_root(int proc_fd, char *ret, size_t size);

/* Is this process alive, and is this (relative to the mount) its cgroup? */
bool systemd_is_place_of(int proc_fd, pid_t pid, const char *cgroup);

/* What systemd answered, as an error of reeve's with systemd's own message in it; 0 for no error. */
int systemd_error(const sd_bus_error *error, ReeveError *reterr);

/* Begins StartTransientUnit: the caller appends properties "(sv)" to *ret. `mode` is that of the job. Fails when PID 1 is
 * not to be reached. */
int systemd_start_prepare(Systemd *s, const char *unit, const char *mode, sd_bus_message **ret);

/* Appends the process and ends what was begun. */
int systemd_start_complete(sd_bus_message *m, pid_t pid);

/* Comes exactly once, from the loop or from systemd_start() itself: `error` is NULL when the unit is active and the process
 * in it. */
typedef void (*systemd_started_t)(const ReeveError *error, void *userdata);

typedef struct SystemdStart {
        const char *unit;
        const char *cgroup; /* where systemd puts its process, relative to the cgroup2 mount */
        pid_t pid;          /* a child that is not reaped */
        systemd_started_t callback;
        void *userdata;
} SystemdStart;

/* Sends what was completed, now or when its turn comes. */
int systemd_start(Systemd *s, sd_bus_message *m, const SystemdStart *start);

/* Calls "StartUnit" or "StopUnit"; nobody hears how it went. */
void systemd_ask(Systemd *s, const char *method, const char *unit);

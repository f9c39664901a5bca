/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What processes of a task are at, for who has to say why it does not go on. */

#include <systemd/sd-bus.h>

#include "launcher/members.h"

#define INSPECT_PROCESSES_MAX 64
#define INSPECT_PATHS_MAX     8 /* of each */

/* Appends an array of (pid, state, comm, wchan, number of descriptors, paths of the first of them). 0 or a negative errno. */
int inspect_append(sd_bus_message *to, const Members *members, uid_t run_uid);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The line log: every event becomes a line of a file. */

#include <systemd/sd-event.h>

#include "common/clock.h"
#include "daemon/service/service.h"

typedef struct EventLines EventLines;

/* Goes on behind the last line that an earlier reeved has written, by the settings; all are to outlive it. Fails when memory or
 * descriptors are short; a file that cannot be written is no failure. */
int event_lines_new(sd_event *event, Service *service, const Instance *instance, const Settings *settings,
                    EventLines **ret, ReeveError *reterr);
/* Before the service. What is not written yet will be by the next reeved. */
EventLines *event_lines_free(EventLines *l);
DEFINE_CLEANUP_FUNC(EventLines *, event_lines_free)

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The text of the line log: one line for each event. docs/events.md has the format. */

#include <stdint.h>

#include "basic/strings.h"
#include "basic/time.h"

#define LINE_WORD "TASK-REGISTRY"

typedef struct LineEvent {
        int64_t number;
        usec_t realtime;
        const char *topic, *task_id;
        const char *detail; /* compact JSON text of the public fields of the task; what does not parse is left out */
} LineEvent;

/* Appends the line of an event. -ENOMEM: nothing was appended. */
int line_append_event(Buffer *b, const LineEvent *event);
/* Appends the line that a file begins with: events after this number follow. */
int line_append_begin(Buffer *b, usec_t realtime, int64_t after);

/* The number in the last whole line of such a text (n bytes): of its event, or after which events follow; -1 if there is none. */
int64_t line_last_number(const char *text, size_t n);

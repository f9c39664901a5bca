/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Events as others make them: anybody's bytes. The first line of the input is a topic, the rest a payload. What is refused is the fault of the
 * caller, and says so; what is accepted has the id of a task, or is a creation, and every member is in one of the two objects.
 *
 * And the line log, whose walk over a text must end within it, whatever it is: one line comes out, with the number in it. */

#include <string.h>

#include "basic/strings.h"
#include "common/json/json.h"
#include "daemon/lines/line-text.h"
#include "daemon/service/publish-internal.h"
#include "tests/fuzz/fuzz.h"

static void check_event(const char *topic, json_t *payload)
{
        ReeveError e = REEVE_ERROR_NULL;
        PublishEvent event;
        const char *member;
        json_t *value;

        if (publish_event_parse(topic, payload, &event, &e) < 0) {
                assert(e.code == REEVE_ERROR_INVALID_ARGUMENT && e.text[0]);
                return;
        }
        assert(event.act < _PUBLISH_ACT_MAX);
        assert(event.task_id ? task_id_is_valid(event.task_id) : event.act == PUBLISH_CREATED);
        assert(!event.makes_task ||
               (json_object_get(event.start, "subsystem") && json_object_get(event.start, "task_type")));
        json_object_foreach(payload, member, value)
                assert(json_is_null(value) || json_object_get(event.start, member) ||
                       json_object_get(event.said, member) || strchr(member, '_') ||
                       streq(member, "error") || streq(member, "reason"));
        publish_event_done(&event);
}

static void check_line(const char *text, size_t size)
{
        _cleanup_buffer_ Buffer b = { 0 };
        const LineEvent event = { 7, 1, "task.updated", "t", text };

        int r = line_append_event(&b, &event);
        assert(r == 0);
        assert(line_last_number(b.data, b.size) == 7);
        (void)line_last_number(text, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *text = malloc(size + 1);
        json_t *payload;

        assert(text);
        memcpy(text, data, size);
        text[size] = '\0';
        check_line(text, size);
        char *rest = strchr(text, '\n');
        if (!rest)
                return 0;
        *rest++ = '\0';
        check_line(rest, strlen(rest));
        if (json_parse(rest, strlen(rest), 40, &payload, NULL) < 0)
                return 0;
        if (json_is_object(payload))
                check_event(text, payload);
        json_decref(payload);
        return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which topics there are, and which members their payloads have.
 *
 *     what makes the task       subsystem, task_type, title ...      parameters of Start
 *     what is said of it        progress, success, message ...       parameters of the act that the topic stands for
 *     task_id                                                        both
 *
 * Any event may have those of the first kind: it need not be the first that arrives of its task, and if it is, they make the task.
 * `metadata` is what belongs to the task where it is created or begins, and what is said where it is updated.
 *
 * mission.* is what task.* was called before there were tasks of other kinds. The tables below say what its members are called now,
 * and what they are where they are absent; nothing else knows of missions.
 *
 * What is no member of a payload is an error, as everywhere: a `sucess` that is false must not be taken for success. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "basic/nearest.h"
#include "basic/strings.h"
#include "common/json/json.h"
#include "daemon/service/publish-internal.h"

typedef struct Topic {
        const char *name;
        PublishAct act;
        bool is_mission;
} Topic;

static const Topic topics[] = {
        { "task.created", PUBLISH_CREATED, false },   { "task.started", PUBLISH_STARTED, false },
        { "task.updated", PUBLISH_UPDATED, false },   { "task.completed", PUBLISH_COMPLETED, false },
        { "task.failed", PUBLISH_FAILED, false },     { "task.cancelled", PUBLISH_CANCELLED, false },
        { "mission.created", PUBLISH_CREATED, true }, { "mission.started", PUBLISH_STARTED, true },
        { "mission.updated", PUBLISH_UPDATED, true }, { "mission.completed", PUBLISH_COMPLETED, true },
        { "mission.failed", PUBLISH_FAILED, true },   { "mission.cancelled", PUBLISH_CANCELLED, true },
};

#define MISSION_SUBSYSTEM "learning"
#define MISSION_TYPE      "mission"

#define ON(act) (1U << PUBLISH_##act)
#define ANY     ((1U << _PUBLISH_ACT_MAX) - 1)

/* Other names that members have. */
static const struct {
        const char *other, *name;
        unsigned on;
        bool of_missions; /* of them alone */
} names[] = {
        { "mission_id", "task_id", ANY, true },
        { "mission_type", "task_type", ANY, true },
        { "mission_title", "title", ANY, true },
        { "mission_name", "title", ANY, true },
        { "error", "message", ON(COMPLETED) | ON(FAILED), false },
        { "error_message", "message", ON(COMPLETED) | ON(FAILED), false },
        { "reason", "message", ON(FAILED) | ON(CANCELLED), false },
};

/* Members that make the task. */
static const struct {
        const char *name;
        unsigned on;
} makers[] = {
        { "subsystem", ANY },
        { "task_type", ANY },
        { "title", ANY },
        { "description", ANY },
        { "created_by", ANY },
        { "priority", ANY },
        { "sla", ANY },
        { "sla_hours", ANY },
        { "heartbeat_usec", ANY },
        { "metadata", ON(CREATED) | ON(STARTED) },
};

static const Topic *find_topic(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(topics); i++)
                if (streq(topics[i].name, name))
                        return topics + i;
        return NULL;
}

static int refuse_topic(const char *name, ReeveError *e)
{
        Nearest near;

        nearest_init(&near, name);
        for (size_t i = 0; i < ELEMENTSOF(topics); i++)
                nearest_offer(&near, topics[i].name);
        if (near.best)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "topic",
                                       "there is no topic '%.64s', is it '%s'?", name, near.best);
        return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "topic",
                               "there is no topic '%.64s': taken are created, started, updated, completed, "
                               "failed, cancelled of task. and mission.",
                               name);
}

/* The name under which a member is known. */
static const char *name_of(const Topic *topic, const char *member)
{
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (streq(names[i].other, member) && (names[i].on & (1U << topic->act)) &&
                    (topic->is_mission || !names[i].of_missions))
                        return names[i].name;
        return member;
}

static bool makes(PublishAct act, const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(makers); i++)
                if (streq(makers[i].name, name))
                        return makers[i].on & (1U << act);
        return false;
}

static int set(json_t *object, const char *name, const char *member, json_t *value, ReeveError *e)
{
        if (json_object_get(object, name))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, member,
                                       "'%.64s' is said under two names", name);
        if (json_object_set(object, name, value) < 0)
                return reeve_error_errno(e, ENOMEM, NULL, "cannot take another event");
        return 0;
}

static int sort_member(const Topic *topic, const char *member, json_t *value, PublishEvent *ret,
                       ReeveError *e)
{
        const char *name = name_of(topic, member);
        bool is_id = streq(name, "task_id");

        if (is_id || makes(topic->act, name)) {
                int r = set(ret->start, name, member, value, e);
                if (r < 0 || !is_id)
                        return r;
        } else if (topic->act == PUBLISH_CREATED || topic->act == PUBLISH_STARTED ||
                   (topic->act == PUBLISH_CANCELLED && !streq(name, "message")))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, member, "%s has no member '%.64s'",
                                       topic->name, member);
        if (streq(name, "message") && !json_is_string(value))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, member, "%.64s must be a string",
                                       member);
        return set(ret->said, name, member, value, e);
}

static int set_default(json_t *object, const char *name, const char *value, ReeveError *e)
{
        if (json_object_get(object, name) || json_set_string(object, name, value) >= 0)
                return 0;
        return reeve_error_errno(e, ENOMEM, NULL, "cannot take another event");
}

static int check_id(PublishEvent *ret, ReeveError *e)
{
        const json_t *id = json_object_get(ret->start, "task_id");

        if (!id && ret->act == PUBLISH_CREATED)
                return 0;
        if (!id)
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "task_id", "task_id is missing");
        ret->task_id = json_string_value(id);
        if (!ret->task_id || strlen(ret->task_id) != json_string_length(id) ||
            !task_id_is_valid(ret->task_id))
                return reeve_error_set(e, REEVE_ERROR_INVALID_ARGUMENT, "task_id", "not the id of a task");
        return 0;
}

static int read_event(const Topic *topic, json_t *payload, PublishEvent *ret, ReeveError *e)
{
        const char *member;
        json_t *value;
        int r;

        ret->act = topic->act;
        ret->start = json_object();
        ret->said = json_object();
        if (!ret->start || !ret->said)
                return reeve_error_errno(e, ENOMEM, NULL, "cannot take another event");
        json_object_foreach(payload, member, value)
                if (!json_is_null(value) && (r = sort_member(topic, member, value, ret, e)) < 0)
                        return r;
        if (topic->is_mission && ((r = set_default(ret->start, "subsystem", MISSION_SUBSYSTEM, e)) < 0 ||
                                  (r = set_default(ret->start, "task_type", MISSION_TYPE, e)) < 0))
                return r;
        ret->makes_task =
                        json_object_get(ret->start, "subsystem") && json_object_get(ret->start, "task_type");
        return check_id(ret, e);
}

int publish_event_parse(const char *topic, json_t *payload, PublishEvent *ret, ReeveError *reterr)
{
        PublishEvent event = { 0 };

        assert(topic);
        assert(json_is_object(payload));
        assert(ret);

        const Topic *found = find_topic(topic);
        if (!found)
                return refuse_topic(topic, reterr);
        int r = read_event(found, payload, &event, reterr);
        if (r < 0) {
                publish_event_done(&event);
                return r;
        }
        *ret = event;
        return 0;
}

void publish_event_done(PublishEvent *e)
{
        assert(e);

        json_decref(e->start);
        json_decref(e->said);
}

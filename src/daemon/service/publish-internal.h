/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files about events from elsewhere share: publish-topic.c reads them, publish.c does what they say. */

#include "daemon/service/service-internal.h"

typedef enum PublishAct {
        PUBLISH_CREATED,
        PUBLISH_STARTED,
        PUBLISH_UPDATED,
        PUBLISH_COMPLETED,
        PUBLISH_FAILED,
        PUBLISH_CANCELLED,
        _PUBLISH_ACT_MAX,
} PublishAct;

/* An event as it was read. */
typedef struct PublishEvent {
        PublishAct act;
        const char *task_id; /* of `start`; NULL: CREATED, and one is to be made */
        json_t *start;       /* parameters of Start; owned */
        json_t *said; /* parameters of Update, Complete, Fail or (task_id, message) Cancel; owned; else with the id alone */
        bool makes_task; /* `start` has all it takes to make the task, if there is none */
} PublishEvent;

/* Reads an event. InvalidArgument names the member, or `topic`. */
int publish_event_parse(const char *topic, json_t *payload, PublishEvent *ret, ReeveError *reterr);
void publish_event_done(PublishEvent *e);

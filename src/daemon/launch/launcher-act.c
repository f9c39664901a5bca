/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Calls that act upon what runs: Signal, Kill, Freeze, Thaw, a step of the ladder, the deadline of the backstop.
 *
 * None is sent again when the connection breaks after it: it may have been done. Only a step may be asked for as often as one
 * likes, because the launcher remembers which have been taken; and a kill, which changes nothing the second time. So nobody
 * need wait for a kill: whether it came about is seen at the end of the task. */

#include "basic/log.h"
#include "daemon/launch/launcher-call.h"

static int on_done(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        LauncherCall *call = ASSERT_PTR(userdata);
        ReeveError e;

        const ReeveError *error = launcher_call_error(m, &e);
        if (call->done)
                call->done(error, call->userdata);
        else if (error)
                log_debug("launcher: %s", error->text);
        return 0;
}

int launcher_client_act(LauncherClient *c, const LauncherAct *act, launcher_done_t callback, void *userdata,
                        ReeveError *reterr)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(act && act->method && act->task_id);

        int r = launcher_call_begin(c, act->method, &m, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "su", act->task_id, act->attempt);
        if (r >= 0 && act->signal > 0)
                r = sd_bus_message_append(m, "ib", act->signal, act->whole);
        return launcher_call_send(
                        c, m, r,
                        &(LauncherCall){ .handler = on_done, .done = callback, .userdata = userdata },
                        reterr);
}

int launcher_client_kill(LauncherClient *c, const char *task_id, unsigned attempt)
{
        return launcher_client_act(
                        c, &(LauncherAct){ .method = "Kill", .task_id = task_id, .attempt = attempt }, NULL,
                        NULL, NULL);
}

static int on_stepped(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
        LauncherCall *call = ASSERT_PTR(userdata);
        LauncherStepResult result = { 0 };
        int again = 0;
        ReeveError e;

        const ReeveError *error = launcher_call_error(m, &e);
        if (!error) {
                int r = sd_bus_message_read(m, "btt", &again, &result.begun_boottime, &result.done_boottime);
                if (r < 0)
                        error = launcher_call_bad_reply(r, &e);
                result.again = again;
        }
        call->step(error, &result, call->userdata);
        return 0;
}

int launcher_client_step(LauncherClient *c, const LauncherStep *step, launcher_step_t callback,
                         void *userdata, ReeveError *reterr)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(step && step->task_id && step->act);
        assert(callback);

        int r = launcher_call_begin(c, "Step", &m, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "suusi", step->task_id, step->attempt, step->number, step->act,
                                  step->signal);
        return launcher_call_send(
                        c, m, r,
                        &(LauncherCall){ .handler = on_stepped, .step = callback, .userdata = userdata },
                        reterr);
}

int launcher_client_set_deadline(LauncherClient *c, const char *task_id, unsigned attempt,
                                 usec_t deadline_boottime)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

        assert(task_id);

        int r = launcher_call_begin(c, "SetDeadline", &m, NULL);
        if (r >= 0)
                r = sd_bus_message_append(m, "sut", task_id, attempt, deadline_boottime);
        return launcher_call_post(c, m, r);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Ladders: what is done, step by step, when a deadline comes near (sla.ladder) or a task is stuck (stuck.ladder).
 *
 * Steps stand in the order in which they come: `at` never falls, and among steps with the same `at`, `after` never does.
 * Each step is a bit of the attempt's record, so there are at most POLICY_STEPS_MAX, and a ladder that is longer is refused
 * here rather than cut somewhere else. After a kill nothing is left to be signalled or frozen, only people to be told. */

#include "basic/parse.h"
#include "daemon/policy/policy-internal.h"

#define AT_MAX    100000 /* ten times the deadline */
#define AFTER_MAX (366 * USEC_PER_DAY)

enum { STEP_AT, STEP_AFTER, STEP_DO, STEP_SIGNAL, STEP_HOOK };
static const char *const step_keys[] = { "at", "after", "do", "signal", "hook", NULL };
static const char *const do_words[_POLICY_STEP_DO_MAX + 1] = { "notify", "escalate", "signal",
                                                               "freeze", "kill",     NULL };

const char *policy_step_do_name(PolicyStepDo d)
{
        assert((unsigned)d < _POLICY_STEP_DO_MAX);
        return do_words[d];
}

static int read_at(PolicyReader *r, const YamlNode *node, bool stuck, PolicyStep *s)
{
        char shown[YAML_SHOWN_SIZE];
        uint32_t at;

        if (stuck)
                return policy_refuse(
                                r, node->key_place,
                                "a step of a stuck task has no 'at', only 'after': time since the event");
        int x = policy_want_scalar(r, node, "a percentage such as 80%");
        if (x < 0)
                return x;
        if (parse_permyriad(node->text, &at) < 0 || at == 0 || at > AT_MAX)
                return policy_refuse(
                                r, node->place,
                                "'at' must be a percentage of the time to the deadline, above 0 and up to "
                                "1000%%, not '%s'",
                                yaml_shown(node->text, shown));
        s->at_permyriad = at;
        return 0;
}

static int read_signal(PolicyReader *r, const YamlNode *node, PolicyStep *s)
{
        char shown[YAML_SHOWN_SIZE];

        int x = policy_want_scalar(r, node, "a signal such as SIGTERM");
        if (x < 0)
                return x;
        if (parse_signal(node->text, &s->signal) < 0)
                return policy_refuse(r, node->place, "'signal' must be a signal such as SIGTERM, not '%s'",
                                     yaml_shown(node->text, shown));
        return 0;
}

static int read_step_key(PolicyReader *r, const YamlNode *node, bool stuck, PolicyStep *s, unsigned *seen)
{
        int which = -1, what = 0, x;

        if ((x = policy_want_key(r, node, step_keys, &which)) < 0)
                return x;
        *seen |= 1U << which;
        switch (which) {
        case STEP_AT:
                return read_at(r, node, stuck, s);
        case STEP_AFTER:
                return policy_want_span(r, node, 0, AFTER_MAX, &s->after_usec);
        case STEP_DO:
                x = policy_want_word(r, node, do_words, &what);
                s->what = (PolicyStepDo)what;
                return x;
        case STEP_SIGNAL:
                return read_signal(r, node, s);
        default:
                x = policy_want_program(r, node, "hooks");
                return x < 0 ? x : policy_copy(r, node, &s->hook);
        }
}

static int check_step(const PolicyReader *r, const YamlNode *node, const PolicyStep *s, unsigned seen)
{
        if (!(seen & 1U << STEP_DO))
                return policy_refuse(r, node->place,
                                     "a step needs 'do': notify, escalate, signal, freeze or kill");
        if (s->what == POLICY_STEP_SIGNAL && !(seen & 1U << STEP_SIGNAL))
                return policy_refuse(r, node->place, "'do: signal' needs 'signal', such as SIGTERM");
        if (s->what != POLICY_STEP_SIGNAL && (seen & 1U << STEP_SIGNAL))
                return policy_refuse(r, node->place, "'signal' is for 'do: signal', not for 'do: %s'",
                                     do_words[s->what]);
        if (s->what == POLICY_STEP_ESCALATE && !s->hook)
                return policy_refuse(r, node->place,
                                     "'do: escalate' needs 'hook', the program that it runs");
        return 0;
}

static int check_order(const PolicyReader *r, const YamlNode *node, const PolicyStep *s,
                       const PolicyStep *before, bool killed)
{
        if (before && (s->at_permyriad < before->at_permyriad ||
                       (s->at_permyriad == before->at_permyriad && s->after_usec < before->after_usec)))
                return policy_refuse(r, node->place,
                                     "this step comes before the one in line %u: write steps in their order",
                                     before->origin.line);
        if (killed && s->what != POLICY_STEP_NOTIFY && s->what != POLICY_STEP_ESCALATE)
                return policy_refuse(r, node->place, "after 'do: kill' there is nothing left to %s",
                                     do_words[s->what]);
        return 0;
}

static int read_step(PolicyReader *r, const YamlNode *node, bool stuck, PolicyStep *s)
{
        char path[POLICY_PATH_SIZE];
        unsigned seen = 0;
        int x;

        *s = (PolicyStep){ .at_permyriad = stuck ? 0 : 10000 };
        if ((x = policy_want_kind(r, node, YAML_KIND_MAPPING, "a list of steps, {at: 100%, do: ...}")) < 0)
                return x;
        const char *outer = r->path;
        for (const YamlNode *child = node->first; child; child = child->next) {
                policy_path_below(path, outer, child->key);
                r->path = path;
                x = read_step_key(r, child, stuck, s, &seen);
                r->path = outer;
                if (x < 0)
                        return x;
        }
        if ((x = check_step(r, node, s, seen)) < 0)
                return x;
        return policy_origin(r, node, &s->origin);
}

static int read_steps(PolicyReader *r, const YamlNode *node, bool stuck, PolicyStep *steps, size_t *n)
{
        bool killed = false;
        int x;

        *n = 0;
        if ((x = policy_want_kind(r, node, YAML_KIND_SEQUENCE, "a list of steps")) < 0)
                return x;
        for (const YamlNode *child = node->first; child; child = child->next) {
                if (*n == POLICY_STEPS_MAX)
                        return policy_refuse(r, child->place, "a ladder has at most %d steps",
                                             POLICY_STEPS_MAX);
                PolicyStep *s = steps + *n;
                if ((x = read_step(r, child, stuck, s)) < 0 ||
                    (x = check_order(r, child, s, *n > 0 ? s - 1 : NULL, killed)) < 0)
                        return x;
                killed |= s->what == POLICY_STEP_KILL;
                ++*n;
        }
        return 0;
}

int policy_read_ladder(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        TaskPolicy *p = r->p;

        return k->offset == offsetof(TaskPolicy, sla)
                               ? read_steps(r, node, false, p->sla.steps, &p->sla.n_steps)
                               : read_steps(r, node, true, p->stuck.steps, &p->stuck.n_steps);
}

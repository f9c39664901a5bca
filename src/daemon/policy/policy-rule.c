/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Verification rules: what must be true of a task that says it succeeded. A rule has a name and exactly one of the keys that
 * say what is looked at (command, file, metric, exit_status, output, reported); the other keys belong to some of these, and a
 * key that would be without effect is refused, for whoever wrote it believes that it is checked.
 *
 * Names are unique within a list, since evidence is kept under them. */

#include "basic/parse.h"
#include "daemon/model/task-metric.h"
#include "daemon/policy/policy-internal.h"

#define NAME_MAX_BYTES    128
#define COMMAND_MAX       64
#define EXIT_STATUSES_MAX 32
#define TIMEOUT_DEFAULT   (30 * USEC_PER_SEC)
#define TIMEOUT_MAX       USEC_PER_DAY
#define PATH_MAX_BYTES    4095

enum {
        RULE_NAME,
        RULE_TIMEOUT,
        RULE_COMMAND, /* the kinds, in the order of PolicyRuleKind */
        RULE_FILE,
        RULE_METRIC,
        RULE_EXIT_STATUS,
        RULE_OUTPUT,
        RULE_REPORTED,
        RULE_MIN_BYTES,
        RULE_MAX_BYTES,
        RULE_NEWER_THAN,
        RULE_SHA256,
        RULE_MATCHES,
        RULE_MIN,
        RULE_MAX,
};
static const char *const rule_keys[] = { "name",      "timeout",     "command",    "file",
                                         "metric",    "exit_status", "output",     "reported",
                                         "min_bytes", "max_bytes",   "newer_than", "sha256",
                                         "matches",   "min",         "max",        NULL };

#define BIT(key)   (1U << (key))
#define KINDS      (BIT(RULE_MIN_BYTES) - BIT(RULE_COMMAND))
#define OF_PROGRAM BIT(RULE_TIMEOUT)
#define OF_FILE                                                                                             \
        (OF_PROGRAM | BIT(RULE_MIN_BYTES) | BIT(RULE_MAX_BYTES) | BIT(RULE_NEWER_THAN) | BIT(RULE_SHA256) | \
         BIT(RULE_MATCHES))

/* What else may stand beside a kind's key. */
static const unsigned companions[_POLICY_RULE_KIND_MAX] = {
        [POLICY_RULE_COMMAND] = OF_PROGRAM,
        [POLICY_RULE_FILE] = OF_FILE,
        [POLICY_RULE_METRIC] = BIT(RULE_MIN) | BIT(RULE_MAX),
        [POLICY_RULE_OUTPUT] = OF_PROGRAM,
};

const char *policy_rule_kind_name(PolicyRuleKind k)
{
        assert((unsigned)k < _POLICY_RULE_KIND_MAX);
        return rule_keys[RULE_COMMAND + (int)k];
}

/* ---- values ---- */

static int read_name(PolicyReader *r, const YamlNode *node, PolicyRule *rule)
{
        int x = policy_want_scalar(r, node, "a name");
        if (x < 0)
                return x;
        size_t n = strlen(node->text);
        if (n > NAME_MAX_BYTES || string_has_control(node->text, n))
                return policy_refuse(r, node->place,
                                     "a rule's name has at most %d bytes and no control characters",
                                     NAME_MAX_BYTES);
        return policy_copy(r, node, &rule->name);
}

static int read_command(PolicyReader *r, const YamlNode *node, PolicyRule *rule)
{
        size_t n = 0;
        int x;

        if ((x = policy_want_kind(r, node, YAML_KIND_SEQUENCE, "a list: the program and its arguments")) < 0)
                return x;
        if (!node->first)
                return policy_refuse(r, node->place, "'command' is empty");
        if ((x = policy_want_program(r, node->first, "checks")) < 0)
                return x;
        for (const YamlNode *child = node->first; child; child = child->next)
                n++;
        if (n > COMMAND_MAX)
                return policy_refuse(r, node->place, "'command' has more than %d arguments", COMMAND_MAX);

        const char **argv = task_policy_alloc(r->p, (n + 1) * sizeof(*argv));
        if (!argv)
                return policy_oom(r);
        n = 0;
        for (const YamlNode *child = node->first; child; child = child->next) {
                if ((x = policy_want_kind(r, child, YAML_KIND_SCALAR, "a list of texts")) < 0 ||
                    (x = policy_copy(r, child, argv + n++)) < 0)
                        return x;
        }
        rule->command = argv;
        return 0;
}

static int read_file(PolicyReader *r, const YamlNode *node, PolicyRule *rule)
{
        int x = policy_want_scalar(r, node, "a path");
        if (x < 0)
                return x;
        if (strlen(node->text) > PATH_MAX_BYTES)
                return policy_refuse(r, node->place, "'file' is longer than a path can be");
        return policy_copy(r, node, &rule->path);
}

static int read_metric(PolicyReader *r, const YamlNode *node, PolicyRule *rule)
{
        char shown[YAML_SHOWN_SIZE];

        int x = policy_want_scalar(r, node, "the name of a metric");
        if (x < 0)
                return x;
        if (!task_metric_exists(node->text))
                return policy_refuse(r, node->place,
                                     "there is no metric '%s': it is a counter such as cpu_usec, a figure "
                                     "such as "
                                     "duration_seconds or memory_mb, or ml.NAME",
                                     yaml_shown(node->text, shown));
        return policy_copy(r, node, &rule->metric);
}

/* 0, or [0, 3] */
static int read_exit_status(PolicyReader *r, const YamlNode *node, PolicyRule *rule)
{
        int *statuses = task_policy_alloc(r->p, EXIT_STATUSES_MAX * sizeof(int));
        const YamlNode *child = node->kind == YAML_KIND_SEQUENCE ? node->first : node;
        char shown[YAML_SHOWN_SIZE];
        size_t n = 0;

        if (!statuses)
                return policy_oom(r);
        if (!child)
                return policy_refuse(r, node->place, "'exit_status' is empty");
        for (; child; child = node->kind == YAML_KIND_SEQUENCE ? child->next : NULL) {
                int x = policy_want_scalar(r, child, "an exit status from 0 to 255, or a list of them");
                if (x < 0)
                        return x;
                if (n == EXIT_STATUSES_MAX || parse_int_range(child->text, 0, 255, statuses + n) < 0)
                        return policy_refuse(
                                        r, child->place,
                                        "'exit_status' must be from 0 to 255, or a list of at most %d of "
                                        "these, not '%s'",
                                        EXIT_STATUSES_MAX, yaml_shown(child->text, shown));
                n++;
        }
        rule->exit_statuses = statuses;
        rule->n_exit_statuses = n;
        return 0;
}

static int read_matches(PolicyReader *r, const YamlNode *node, PolicyRule *rule)
{
        int x = policy_want_regex(r, node);
        return x < 0 ? x : policy_copy(r, node, &rule->matches);
}

static int read_reported(PolicyReader *r, const YamlNode *node)
{
        bool yes = false;

        int x = policy_want_scalar(r, node, "yes");
        if (x < 0)
                return x;
        if (parse_bool(node->text, &yes) < 0 || !yes)
                return policy_refuse(r, node->place,
                                     "'reported' can only be yes: leave the rule out otherwise");
        return 0;
}

static int read_bytes(PolicyReader *r, const YamlNode *node, bool *has, uint64_t *ret)
{
        char shown[YAML_SHOWN_SIZE];

        int x = policy_want_scalar(r, node, "a size such as 512K or 64M");
        if (x < 0)
                return x;
        if (parse_bytes(node->text, ret) < 0 || *ret > INT64_MAX)
                return policy_refuse(r, node->place, "'%s' must be a size such as 512K or 64M, not '%s'",
                                     node->key, yaml_shown(node->text, shown));
        *has = true;
        return 0;
}

static int read_newer_than(PolicyReader *r, const YamlNode *node, PolicyRule *rule)
{
        static const char *const words[] = { "start", NULL };
        int ignored;

        int x = policy_want_word(r, node, words, &ignored);
        rule->newer_than_start = x >= 0;
        return x;
}

static int read_sha256(PolicyReader *r, const YamlNode *node, PolicyRule *rule)
{
        int x = policy_want_scalar(r, node, "64 hexadecimal digits");
        if (x < 0)
                return x;
        if (strlen(node->text) != 64 || strspn(node->text, "0123456789abcdef") != 64)
                return policy_refuse(r, node->place, "'sha256' must be 64 hexadecimal digits in lower case");
        return policy_copy(r, node, &rule->sha256);
}

static int read_bound(PolicyReader *r, const YamlNode *node, bool *has, double *ret)
{
        *has = true;
        return policy_want_number(r, node, ret);
}

static int read_value(PolicyReader *r, const YamlNode *node, int which, PolicyRule *rule)
{
        switch (which) {
        case RULE_NAME:
                return read_name(r, node, rule);
        case RULE_TIMEOUT:
                return policy_want_span(r, node, 100 * USEC_PER_MSEC, TIMEOUT_MAX, &rule->timeout_usec);
        case RULE_COMMAND:
                return read_command(r, node, rule);
        case RULE_FILE:
                return read_file(r, node, rule);
        case RULE_METRIC:
                return read_metric(r, node, rule);
        case RULE_EXIT_STATUS:
                return read_exit_status(r, node, rule);
        case RULE_OUTPUT:
        case RULE_MATCHES:
                return read_matches(r, node, rule);
        case RULE_REPORTED:
                return read_reported(r, node);
        case RULE_MIN_BYTES:
                return read_bytes(r, node, &rule->has_min_bytes, &rule->min_bytes);
        case RULE_MAX_BYTES:
                return read_bytes(r, node, &rule->has_max_bytes, &rule->max_bytes);
        case RULE_NEWER_THAN:
                return read_newer_than(r, node, rule);
        case RULE_SHA256:
                return read_sha256(r, node, rule);
        case RULE_MIN:
                return read_bound(r, node, &rule->has_min, &rule->min);
        default:
                return read_bound(r, node, &rule->has_max, &rule->max);
        }
}

/* ---- a rule ---- */

/* The kind, from the keys that were seen. */
static int find_kind(const PolicyReader *r, const YamlNode *node, unsigned seen, PolicyRuleKind *ret)
{
        int first = -1;

        for (int i = 0; i < _POLICY_RULE_KIND_MAX; i++) {
                if (!(seen & BIT(RULE_COMMAND + i)))
                        continue;
                if (first >= 0)
                        return policy_refuse(r, node->place,
                                             "a rule looks at one thing, not at '%s' and '%s'",
                                             rule_keys[RULE_COMMAND + first], rule_keys[RULE_COMMAND + i]);
                first = i;
        }
        if (first < 0)
                return policy_refuse(
                                r, node->place,
                                "a rule needs one of command, file, metric, exit_status, output, reported");
        *ret = (PolicyRuleKind)first;
        return 0;
}

static int check_rule(const PolicyReader *r, const YamlNode *node, unsigned seen, const PolicyRule *rule)
{
        if (!(seen & BIT(RULE_NAME)))
                return policy_refuse(r, node->place, "a rule needs a name");
        unsigned without_effect = seen & ~(BIT(RULE_NAME) | KINDS | companions[rule->kind]);
        for (int i = 0; rule_keys[i]; i++)
                if (without_effect & BIT(i))
                        return policy_refuse(r, yaml_node_get(node, rule_keys[i])->key_place,
                                             "'%s' has no meaning beside '%s'", rule_keys[i],
                                             policy_rule_kind_name(rule->kind));
        if (rule->kind == POLICY_RULE_METRIC && !rule->has_min && !rule->has_max)
                return policy_refuse(r, node->place, "a metric needs 'min', 'max' or both");
        if (rule->has_min && rule->has_max && rule->min > rule->max)
                return policy_refuse(r, node->place, "'min' is above 'max': no value can pass");
        if (rule->has_min_bytes && rule->has_max_bytes && rule->min_bytes > rule->max_bytes)
                return policy_refuse(r, node->place, "'min_bytes' is above 'max_bytes': no file can pass");
        return 0;
}

static int read_rule(PolicyReader *r, const YamlNode *node, PolicyRule *rule)
{
        char path[POLICY_PATH_SIZE];
        unsigned seen = 0;
        int which = -1, x;

        *rule = (PolicyRule){ .timeout_usec = TIMEOUT_DEFAULT };
        if ((x = policy_want_kind(r, node, YAML_KIND_MAPPING, "a list of rules, {name: ..., file: ...}")) <
            0)
                return x;
        const char *outer = r->path;
        for (const YamlNode *child = node->first; child; child = child->next) {
                policy_path_below(path, outer, child->key);
                r->path = path;
                x = policy_want_key(r, child, rule_keys, &which);
                if (x >= 0)
                        x = read_value(r, child, which, rule);
                r->path = outer;
                if (x < 0)
                        return x;
                seen |= BIT(which);
        }
        if ((x = find_kind(r, node, seen, &rule->kind)) < 0 || (x = check_rule(r, node, seen, rule)) < 0)
                return x;
        return policy_origin(r, node, &rule->origin);
}

static int check_name_is_free(const PolicyReader *r, const YamlNode *node, const PolicyRule *rules, size_t n)
{
        char shown[YAML_SHOWN_SIZE];

        for (size_t i = 0; i < n; i++)
                if (streq(rules[i].name, rules[n].name))
                        return policy_refuse(r, node->place, "there is a rule '%s' already, in line %u",
                                             yaml_shown(rules[n].name, shown), rules[i].origin.line);
        return 0;
}

int policy_read_rules(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        PolicyVerification *v = &r->p->verification;
        size_t n = 0;
        int x;

        if ((x = policy_want_kind(r, node, YAML_KIND_SEQUENCE, "a list of rules")) < 0)
                return x;
        for (const YamlNode *child = node->first; child; child = child->next)
                if (++n > POLICY_RULES_MAX)
                        return policy_refuse(r, child->place, "there are more than %d rules",
                                             POLICY_RULES_MAX);

        v->n_rules = 0;
        v->rules = task_policy_alloc(r->p, MAX(n, (size_t)1) * sizeof(PolicyRule));
        if (!v->rules)
                return policy_oom(r);
        for (const YamlNode *child = node->first; child; child = child->next) {
                if ((x = read_rule(r, child, v->rules + v->n_rules)) < 0 ||
                    (x = check_name_is_free(r, child, v->rules, v->n_rules)) < 0)
                        return x;
                v->n_rules++;
        }
        return 0;
}

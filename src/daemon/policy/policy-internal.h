/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the policy share. The way of a value:
 *
 *     policy-load.c     files -> YAML trees
 *     policy-layer.c    -> layers: for each level what it says, as (key, node) pairs
 *     policy-keys.c     the table of keys: what each may be, and how it gets into a TaskPolicy
 *     policy-resolve.c  layers that apply, one over the other, and the caller's wishes -> a TaskPolicy
 *     policy-json.c     a TaskPolicy as JSON, which is the same language again, and back
 *
 * and for values that are more than a word or a number: policy-sla.c, -ladder.c, -rule.c, -limit.c, -allow.c, all by the words of
 * policy-read.c. Each reads a node of a tree, so that a value is checked when it is loaded by the very function that reads
 * it later. */

#include "basic/hash.h"
#include "basic/strings.h"
#include "common/json/json.h"
#include "common/limit/limit.h"
#include "common/yaml/yaml-tree.h"
#include "daemon/policy/policy.h"

/* ---- memory of a TaskPolicy ---- */

/* What a caller's wish meets. */
typedef enum PolicyOverride {
        POLICY_OVERRIDE_STRICTER,
        POLICY_OVERRIDE_ALLOW,
        POLICY_OVERRIDE_DENY,
} PolicyOverride;

typedef enum PolicyWish {
        POLICY_WISH_PRIORITY,
        POLICY_WISH_BACKEND,
        POLICY_WISH_SLA,
        POLICY_WISH_ATTEMPTS,
        POLICY_WISH_LIMITS,
        _POLICY_WISH_MAX,
} PolicyWish;

typedef struct TaskPolicyStorage {
        struct PolicyChunk *chunks; /* everything that was allocated for it */
        char *json;
        int overrides[_POLICY_WISH_MAX]; /* PolicyOverride */
        bool has_fallback;
        usec_t fallback_usec;
        PolicyOrigin priority_origin, priority_max_origin, backend_origin;
} TaskPolicyStorage;

/* An empty one, with the reference of the caller. NULL when memory is short. */
TaskPolicy *task_policy_new(void);
/* Zeroed memory that lives as long as the TaskPolicy; NULL when there is none. */
void *task_policy_alloc(TaskPolicy *p, size_t size);
char *task_policy_strdup(TaskPolicy *p, const char *text);

/* ---- reading a value ---- */

/* Where programs may be, besides hooks and checks of /etc/reeve and /usr/lib/reeve: those of a private instance. */
typedef struct PolicyPlaces {
        char etc[256]; /* the directory above policy.d */
} PolicyPlaces;

typedef struct PolicyReader {
        TaskPolicy *p;
        const char *source;         /* of messages: the file's path */
        const char *file;           /* of origins: borrowed, copied where it is kept */
        const char *path;           /* of errors: the dotted name of the value */
        const PolicyPlaces *places; /* NULL: programs were checked before */
        ReeveError *reterr;
} PolicyReader;

/* The dotted name of something below another, "subsystems.healing", for messages. */
#define POLICY_PATH_SIZE 256
void policy_path_below(char ret[static POLICY_PATH_SIZE], const char *outer, const char *key);

/* InvalidArgument at the place of the node; returns -EINVAL. */
int policy_refuse(const PolicyReader *r, YamlPlace place, const char *format, ...) _printf_(3, 4);
int policy_oom(const PolicyReader *r);
/* Requires a value that is not empty; `expected` is for the message. */
int policy_want_scalar(const PolicyReader *r, const YamlNode *node, const char *expected);
int policy_want_kind(const PolicyReader *r, const YamlNode *node, YamlKind kind, const char *expected);
int policy_want_span(const PolicyReader *r, const YamlNode *node, usec_t min, usec_t max, usec_t *ret);
int policy_want_number(const PolicyReader *r, const YamlNode *node, double *ret);
/* The index of the node's word among NULL-terminated `words`. */
int policy_want_word(const PolicyReader *r, const YamlNode *node, const char *const *words, int *ret);
/* "unknown key 'x'; did you mean 'y'?" */
int policy_unknown_key(const PolicyReader *r, const YamlNode *node, const char *const *known);
/* Index of a mapping's child's key among `known`; otherwise as above. */
int policy_want_key(const PolicyReader *r, const YamlNode *child, const char *const *known, int *ret);
/* A program in one of the two directories called `folder`. */
int policy_want_program(const PolicyReader *r, const YamlNode *node, const char *folder);
/* A POSIX extended regular expression that compiles, and neither explodes nor backtracks. */
int policy_want_regex(const PolicyReader *r, const YamlNode *node);
/* A copy of the scalar's text in the TaskPolicy. */
int policy_copy(const PolicyReader *r, const YamlNode *node, const char **ret);
/* The origin of a node; its file is copied. */
int policy_origin(const PolicyReader *r, const YamlNode *node, PolicyOrigin *ret);
/* Decimal digits with at most one point and a sign; not by the locale. */
int policy_parse_number(const char *text, double *ret);

/* ---- keys ---- */

typedef enum PolicyLevel {
        POLICY_LEVEL_DEFAULTS,
        POLICY_LEVEL_SUBSYSTEM,
        POLICY_LEVEL_TASK_TYPE,
        _POLICY_LEVEL_MAX,
} PolicyLevel;

/* Keys of the table; behind them come the limits: POLICY_KEY_LIMITS + index of limit_kind(). */
typedef enum PolicyKeyId {
        POLICY_KEY_ALLOW,
        POLICY_KEY_BACKEND,
        POLICY_KEY_PRIORITY,
        POLICY_KEY_PRIORITY_MAX,
        POLICY_KEY_MAX_PARALLEL,
        POLICY_KEY_SUBSYSTEM_MAX_PARALLEL,
        POLICY_KEY_OVERRIDES, /* and one for each PolicyWish */
        POLICY_KEY_SLA_DEADLINE = POLICY_KEY_OVERRIDES + _POLICY_WISH_MAX,
        POLICY_KEY_SLA_FROM,
        POLICY_KEY_SLA_FALLBACK,
        POLICY_KEY_SLA_LADDER,
        POLICY_KEY_VERIFICATION_REQUIRED,
        POLICY_KEY_VERIFICATION_ACCEPTS_REPORTED,
        POLICY_KEY_VERIFICATION_RULES,
        POLICY_KEY_RETRY_ATTEMPTS,
        POLICY_KEY_RETRY_BACKOFF,
        POLICY_KEY_RETRY_MAX_BACKOFF,
        POLICY_KEY_RETRY_ON,
        POLICY_KEY_STUCK_ACTIVE_FOR,
        POLICY_KEY_STUCK_IDLE_FOR,
        POLICY_KEY_STUCK_SPINNING_FOR,
        POLICY_KEY_STUCK_LADDER,
        POLICY_KEY_SAMPLING_MIN,
        POLICY_KEY_SAMPLING_MAX,
        POLICY_KEY_ANOMALY_FACTOR,
        POLICY_KEY_ANOMALY_MIN_SAMPLES,
        POLICY_KEY_RETENTION_SNAPSHOTS,
        POLICY_KEY_RETENTION_OUTPUT,
        POLICY_KEY_RETENTION_TASKS,
        POLICY_KEY_HOOKS_TIMEOUT,
        POLICY_KEY_REPORTED_HEARTBEAT,
        POLICY_KEY_LIMITS,
} PolicyKeyId;

#define POLICY_LIMITS_MAX 32
#define POLICY_KEYS_MAX   (POLICY_KEY_LIMITS + POLICY_LIMITS_MAX)

#define POLICY_IN_CASE (1U << _POLICY_LEVEL_MAX)

typedef struct PolicyKey PolicyKey;
typedef int (*policy_read_t)(PolicyReader *r, const PolicyKey *k, const YamlNode *node);

struct PolicyKey {
        const char *name; /* dotted, as in JSON: "sla.deadline" */
        const char *text; /* what it is, for messages and documents */
        policy_read_t read;
        size_t offset;     /* in the TaskPolicy, or in its storage */
        uint64_t min, max; /* inclusive */
        bool or_infinity;  /* "infinity" is stored as 0 */
        bool is_plain;     /* its value is a number or yes/no, not a text, in JSON */
        unsigned levels;   /* where it may stand: 1 << PolicyLevel, POLICY_IN_CASE */
};

/* How many keys there are, limits included, and each one. */
size_t policy_n_keys(void);
const PolicyKey *policy_key(size_t id);
/* -ENOENT */
int policy_key_find(const char *name);
/* Reads a value by its key, into the TaskPolicy; checks it and fills its origin. */
int policy_read(PolicyReader *r, size_t id, const YamlNode *node);
/* After the last value: what follows from several. */
void policy_finish(TaskPolicy *p);

/* Readers that are more than a few lines. */
int policy_read_allow(PolicyReader *r, const PolicyKey *k, const YamlNode *node);
int policy_read_deadline(PolicyReader *r, const PolicyKey *k, const YamlNode *node);
int policy_read_ladder(PolicyReader *r, const PolicyKey *k, const YamlNode *node);
int policy_read_rules(PolicyReader *r, const PolicyKey *k, const YamlNode *node);
int policy_read_limit(PolicyReader *r, const PolicyKey *k, const YamlNode *node);

/* A deadline as text; fills what says when. -EINVAL */
int policy_parse_deadline(const char *text, PolicySla *ret);
#define POLICY_DEADLINE_EXPECTED \
        "a time span (1h), a moment (2026-01-31 12:00), 'forecast_p95 * 2' or infinity"

/* ---- who ---- */

typedef struct PolicyAllow {
        uid_t *uids;
        gid_t *gids;
        size_t n_uids, n_gids;
} PolicyAllow;

/* Looks the names up (blocks); a name that the host does not know allows nobody. Negative errno. */
int policy_allow_lookup(const YamlNode *node, PolicyAllow *ret);
void policy_allow_done(PolicyAllow *a);
bool policy_allow_passes(const PolicyAllow *a, const PolicyQuery *q);

/* ---- what was read ---- */

typedef struct PolicySource {
        char *name; /* within the directory; "" for what is built in */
        YamlTree *tree;
} PolicySource;

typedef struct PolicyValue {
        unsigned key;
        const YamlNode *node;
        const PolicySource *source;
} PolicyValue;

typedef struct PolicyLayer PolicyLayer;

/* defaults, a subsystem, a task type, or a case of one of them. */
struct PolicyLayer {
        char *name;      /* of a subsystem or task type */
        unsigned number; /* unique in the Policy */
        PolicyLevel level;
        const char *title, *created_by, *uid; /* globs; NULL: any. Borrowed from the trees */
        PolicyValue *values;
        size_t n_values, room;
        PolicyAllow allow;
        bool has_allow;
        PolicyLayer **cases;
        size_t n_cases;
        Hash *task_types; /* of a subsystem: PolicyLayer by name */
};

struct Policy {
        unsigned n_ref;
        char hash[65];
        PolicyPlaces places;
        PolicySource **sources; /* the first is built in */
        const char **files;     /* names of the others */
        size_t n_sources;
        size_t bytes;
        PolicyLayer *builtin, *defaults;
        Hash *subsystems; /* PolicyLayer by name */
        unsigned n_layers;
        unsigned max_parallel;
        Hash *resolved; /* of policy-resolve.c */
};

/* ---- loading ---- */

/* A file that is being read. */
typedef struct PolicyLoader {
        Policy *policy;
        PolicySource *source;
        PolicyReader reader;
} PolicyLoader;

/* NULL when memory is short. `name` is copied; NULL: it has none. */
PolicyLayer *policy_layer_new(Policy *p, PolicyLevel level, const char *name);
PolicyLayer *policy_layer_free(PolicyLayer *l);
DEFINE_CLEANUP_FUNC(PolicyLayer *, policy_layer_free)
/* Adds to the layer what the node says. */
int policy_read_layer(PolicyLoader *x, PolicyLayer *l, bool is_case, const YamlNode *node);
/* The same for each of a mapping from names to layers, in the table. */
int policy_read_layers(PolicyLoader *x, Hash *table, PolicyLevel level, const YamlNode *node);

/* Forgets what was resolved. */
void policy_resolved_clear(Policy *p);

/* One file that is in memory, with the built-in values, as if it lay in /etc/reeve/policy.d under that name. */
int policy_parse(const char *name, const char *text, size_t size, Policy **ret, ReeveError *reterr);

/* ---- globs ---- */

/* `*`, `?`, `[a-z]`, `[!a-z]`, `\` before what is meant as it is. Time is at most the product of the lengths. */
bool policy_glob_matches(const char *pattern, const char *text);
bool policy_glob_is_valid(const char *pattern);

/* ---- JSON ---- */

/* A value of one key and where it came from; node NULL: not said. */
typedef struct PolicyChosen {
        const YamlNode *node;
        const char *file; /* as in PolicyOrigin */
} PolicyChosen;

/* Writes the values, indexed by key, as JSON text and hash into the TaskPolicy that was made of them. */
int policy_write_json(TaskPolicy *p, const PolicyChosen values[static POLICY_KEYS_MAX]);

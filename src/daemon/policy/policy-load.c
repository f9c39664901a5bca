/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The files of a directory, in the order of their names, and what the language sets when nobody says anything: that is a file
 * too, the first one, with the name "". What they say goes into layers (policy-layer.c); the first fault ends it, and the
 * Policy that was in force stays.
 *
 * Bounds: a tree has its own (common/yaml); besides, there are at most FILES_MAX files and BYTES_MAX bytes of them. Only
 * regular files are opened: a pipe would never end. */

#include <dirent.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>

#include "basic/fd.h"
#include "basic/parse.h"
#include "daemon/policy/policy-internal.h"

#define FILES_MAX 100
#define BYTES_MAX (4U * 1024 * 1024)

static const char builtin_text[] =
                "version: 1\n"
                "defaults:\n"
                "  priority_max: 10\n"
                "  overrides: stricter\n"
                "  sla:\n"
                "    from: created\n"
                "    ladder:\n"
                "      - {at: 80%, do: notify}\n"
                "      - {at: 100%, do: notify}\n"
                "  verification: {required: no, accepts_reported: yes}\n"
                "  retry: {backoff: 5s, max_backoff: 5min, on: [exit-code, signal, core-dump, oom]}\n"
                "  hooks: {timeout: 1min}\n"
                "  anomaly: {factor: 3, min_samples: 5}\n"
                "  retention: {snapshots: infinity, output: infinity, tasks: infinity}\n";

/* ---- a file ---- */

static int read_version(PolicyLoader *x, const YamlNode *root)
{
        const YamlNode *version = yaml_node_get(root, "version");

        if (!version)
                return policy_refuse(&x->reader, root->place, "'version: 1' is missing");
        if (version->kind != YAML_KIND_SCALAR || !streq(version->text, "1"))
                return policy_refuse(&x->reader, version->place,
                                     "this reeve knows version 1 of the language");
        return 0;
}

static int read_max_parallel(PolicyLoader *x, const YamlNode *node)
{
        char shown[YAML_SHOWN_SIZE];
        uint32_t n;

        int r = policy_want_scalar(&x->reader, node, "a whole number above 0 or infinity");
        if (r < 0)
                return r;
        if (streq(node->text, "infinity"))
                n = 0;
        else if (parse_u32(node->text, &n) < 0 || n == 0 || n > 1000000)
                return policy_refuse(&x->reader, node->place,
                                     "max_parallel must be a whole number from 1 to 1000000 or infinity, "
                                     "not '%s'",
                                     yaml_shown(node->text, shown));
        x->policy->max_parallel = n;
        return 0;
}

static int read_top(PolicyLoader *x, PolicyLayer *defaults, const YamlNode *node)
{
        static const char *const keys[] = { "version", "max_parallel", "defaults", "subsystems", NULL };
        int which = 0;

        x->reader.path = node->key;
        int r = policy_want_key(&x->reader, node, keys, &which);
        if (r < 0)
                return r;
        switch (which) {
        case 0:
                return 0;
        case 1:
                return read_max_parallel(x, node);
        case 2:
                return policy_read_layer(x, defaults, false, node);
        default:
                return policy_read_layers(x, x->policy->subsystems, POLICY_LEVEL_SUBSYSTEM, node);
        }
}

static int read_root(PolicyLoader *x, PolicyLayer *defaults)
{
        const YamlNode *root = x->source->tree->root;
        int r;

        x->reader.path = "";
        if (!root)
                return 0;
        if ((r = policy_want_kind(&x->reader, root, YAML_KIND_MAPPING, "a mapping")) < 0 ||
            (r = read_version(x, root)) < 0)
                return r;
        for (const YamlNode *child = root->first; r >= 0 && child; child = child->next)
                r = read_top(x, defaults, child);
        return r;
}

static int add_source(Policy *p, const char *name, YamlTree *tree, PolicySource **ret)
{
        PolicySource **sources = reallocarray(p->sources, p->n_sources + 1, sizeof(*sources));
        if (!sources)
                return -ENOMEM;
        p->sources = sources;
        const char **files = reallocarray(p->files, p->n_sources + 1, sizeof(*files));
        if (!files)
                return -ENOMEM;
        p->files = files;
        PolicySource *s = NEW0(PolicySource, 1);
        if (!s)
                return -ENOMEM;
        s->name = strdup(name);
        if (!s->name) {
                free(s);
                return -ENOMEM;
        }
        s->tree = tree;
        p->files[p->n_sources] = s->name;
        p->sources[p->n_sources++] = s;
        *ret = s;
        return 0;
}

/* A file in memory. */
typedef struct Text {
        const char *path; /* of messages */
        const char *name; /* of origins */
        const char *text;
        size_t size;
} Text;

static int read_text(Policy *p, PolicyLayer *defaults, const Text *t, ReeveError *reterr)
{
        _cleanup_(yaml_tree_freep) YamlTree *tree = NULL;
        PolicyLoader x = {
                .policy = p,
                .reader = { .source = t->path, .file = t->name, .places = &p->places, .reterr = reterr }
        };

        int r = yaml_tree_parse(t->path, t->text, t->size, &tree, reterr);
        if (r < 0)
                return r == -ENOMEM ? policy_oom(&x.reader) : r;
        if (add_source(p, t->name, tree, &x.source) < 0)
                return policy_oom(&x.reader);
        (void)TAKE_PTR(tree);
        return read_root(&x, defaults);
}

/* ---- the whole ---- */

static Policy *policy_free(Policy *p)
{
        if (!p)
                return NULL;
        policy_resolved_clear(p);
        hash_free(p->resolved);
        HASH_FOREACH(p->subsystems, PolicyLayer, l)
                policy_layer_free(l);
        hash_free(p->subsystems);
        policy_layer_free(p->builtin);
        policy_layer_free(p->defaults);
        for (size_t i = 0; i < p->n_sources; i++) {
                yaml_tree_free(p->sources[i]->tree);
                free(p->sources[i]->name);
                free(p->sources[i]);
        }
        free(p->sources);
        free(p->files);
        free(p);
        return NULL;
}

Policy *policy_ref(Policy *p)
{
        assert(p && p->n_ref > 0);
        p->n_ref++;
        return p;
}

Policy *policy_unref(Policy *p)
{
        if (!p)
                return NULL;
        assert(p->n_ref > 0);
        return --p->n_ref > 0 ? NULL : policy_free(p);
}

/* With the built-in values and nothing else. `etc` is the directory above policy.d. */
static int policy_new(const char *etc, size_t n_etc, Policy **ret, ReeveError *reterr)
{
        _cleanup_(policy_unrefp) Policy *p = NEW0(Policy, 1);
        if (!p)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot read the policy");
        p->n_ref = 1;
        snprintf(p->places.etc, sizeof(p->places.etc), "%.*s", (int)MIN(n_etc, sizeof(p->places.etc) - 1),
                 etc);
        p->subsystems = hash_new();
        p->resolved = hash_new();
        p->builtin = policy_layer_new(p, POLICY_LEVEL_DEFAULTS, NULL);
        p->defaults = policy_layer_new(p, POLICY_LEVEL_DEFAULTS, NULL);
        if (!p->subsystems || !p->resolved || !p->builtin || !p->defaults)
                return reeve_error_errno(reterr, ENOMEM, NULL, "cannot read the policy");
        const Text builtin = { "built-in", "", builtin_text, strlen(builtin_text) };
        int r = read_text(p, p->builtin, &builtin, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

static void hash_file(crypto_hash_sha256_state *h, const char *name, const char *text, size_t size)
{
        uint64_t length = size;

        crypto_hash_sha256_update(h, (const unsigned char *)name, strlen(name) + 1);
        crypto_hash_sha256_update(h, (const unsigned char *)&length, sizeof(length));
        crypto_hash_sha256_update(h, (const unsigned char *)text, size);
}

static int read_file(Policy *p, const char *path, const char *name, crypto_hash_sha256_state *h,
                     ReeveError *reterr)
{
        _cleanup_free_ char *text = NULL;
        struct stat st;
        size_t size;

        if (stat(path, &st) < 0)
                return reeve_error_errno(reterr, errno, NULL, "Cannot read %s", path);
        if (!S_ISREG(st.st_mode))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, NULL,
                                       "%s:1:1: not a regular file", path);
        int r = fd_read_file_alloc(AT_FDCWD, path, YAML_TREE_SIZE_MAX, &text, &size);
        if (r == -E2BIG)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, NULL,
                                       "%s:1:1: the file is larger than 1 MiB", path);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "Cannot read %s", path);
        p->bytes += size;
        if (p->bytes > BYTES_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, NULL,
                                       "%s:1:1: the files are larger than 4 MiB together", path);
        hash_file(h, name, text, size);
        return read_text(p, p->defaults, &(Text){ path, name, text, size }, reterr);
}

static void finish_hash(crypto_hash_sha256_state *h, Policy *p)
{
        unsigned char hash[crypto_hash_sha256_BYTES];

        crypto_hash_sha256_final(h, hash);
        sodium_bin2hex(p->hash, sizeof(p->hash), hash, sizeof(hash));
}

static int is_policy_file(const struct dirent *e)
{
        size_t n = strlen(e->d_name);
        return e->d_name[0] != '.' && n > 5 && streq(e->d_name + n - 5, ".yaml");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_files(Policy *p, const char *directory, struct dirent **entries, int n, ReeveError *reterr)
{
        crypto_hash_sha256_state h;

        if (n > FILES_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, NULL,
                                       "%s/%s:1:1: there are more than %d files", directory,
                                       entries[FILES_MAX]->d_name, FILES_MAX);
        crypto_hash_sha256_init(&h);
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *path = string_printf("%s/%s", directory, entries[i]->d_name);
                int r = path ? read_file(p, path, entries[i]->d_name, &h, reterr)
                             : reeve_error_errno(reterr, ENOMEM, NULL, "cannot read the policy");
                if (r < 0)
                        return r;
        }
        finish_hash(&h, p);
        return 0;
}

/* Length of the directory's parent: "/etc/reeve" of "/etc/reeve/policy.d". */
static size_t parent_length(const char *directory)
{
        const char *slash = strrchr(directory, '/');
        return slash ? (size_t)(slash - directory) : 0;
}

int policy_load(const char *directory, Policy **ret, ReeveError *reterr)
{
        _cleanup_(policy_unrefp) Policy *p = NULL;
        struct dirent **entries = NULL;

        assert(directory);
        assert(ret);

        int r = policy_new(directory, parent_length(directory), &p, reterr);
        if (r < 0)
                return r;
        int n = scandir(directory, &entries, is_policy_file, by_name);
        if (n < 0 && errno == ENOENT)
                n = 0;
        if (n < 0)
                return reeve_error_errno(reterr, errno, NULL, "Cannot read %s", directory);
        r = read_files(p, directory, entries, n, reterr);
        for (int i = 0; i < n; i++)
                free(entries[i]);
        free(entries);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

/* A file that stands in a policy.d is checked as its instance would. */
int policy_check_file(const char *path, Policy **ret, ReeveError *reterr)
{
        static const char folder[] = "/policy.d";
        _cleanup_(policy_unrefp) Policy *p = NULL;
        crypto_hash_sha256_state h;

        assert(path);
        assert(ret);

        size_t n = parent_length(path), n_etc = n > strlen(folder) ? n - strlen(folder) : 0;
        if (strncmp(path + n_etc, folder, strlen(folder)) != 0)
                n_etc = 0;
        int r = policy_new(path, n_etc, &p, reterr);
        if (r < 0)
                return r;
        crypto_hash_sha256_init(&h);
        const char *slash = strrchr(path, '/');
        r = read_file(p, path, slash ? slash + 1 : path, &h, reterr);
        if (r >= 0)
                *ret = TAKE_PTR(p);
        return r;
}

int policy_parse(const char *name, const char *text, size_t size, Policy **ret, ReeveError *reterr)
{
        _cleanup_(policy_unrefp) Policy *p = NULL;
        crypto_hash_sha256_state h;

        assert(name);
        assert(text);
        assert(ret);

        int r = policy_new("", 0, &p, reterr);
        if (r >= 0)
                r = read_text(p, p->defaults, &(Text){ name, name, text, size }, reterr);
        if (r < 0)
                return r;
        crypto_hash_sha256_init(&h);
        hash_file(&h, name, text, size);
        finish_hash(&h, p);
        *ret = TAKE_PTR(p);
        return 0;
}

const char *policy_hash(const Policy *p)
{
        assert(p);
        return p->hash;
}

size_t policy_files(const Policy *p, const char *const **ret)
{
        assert(p);
        assert(ret);
        *ret = p->files + 1; /* the first is built in */
        return p->n_sources - 1;
}

unsigned policy_max_parallel(const Policy *p)
{
        assert(p);
        return p->max_parallel;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table below is the whole truth about the keys: names, types, bounds and meaning. docs/settings.md
 * and the example repeat it, and a test compares the three.
 *
 * Files are loaded one over the other into a copy, so that a bad one changes nothing, and the first fault
 * ends it: reeved does not start with half of what its administrator wrote. What depends on two keys is
 * checked at the end, since they may stand in different files. Settings are read once, at start; nothing
 * here watches the directory. */

#include "daemon/settings/settings.h"

#include <dirent.h>
#include <errno.h>

#include "basic/strings.h"
#include "daemon/settings/settings-table.h"

const Settings settings_default = {
        .sampling = { .min_usec = USEC_PER_SEC, .max_usec = 5 * USEC_PER_MINUTE, .tick_usec = USEC_PER_SEC },
        .output = { .cap_bytes = UINT64_C(64) << 20 },
        .grace_usec = 5 * USEC_PER_SEC,
        .backup = { .interval_usec = USEC_PER_DAY, .keep = 3 },
        .line_log = { .max_bytes = UINT64_C(16) << 20, .files = 4 },
        .limits = { .tasks_per_uid = 1000, .connections = 1024 },
};

static const YamlField sampling_fields[] = {
        { "min", YAML_FIELD_SPAN, offsetof(Settings, sampling.min_usec), 100 * USEC_PER_MSEC, USEC_PER_DAY,
          .text = "shortest time between two stored snapshots of a task" },
        { "max", YAML_FIELD_SPAN, offsetof(Settings, sampling.max_usec), USEC_PER_SEC, USEC_PER_DAY,
          .text = "longest time between two stored snapshots of a task" },
        { "tick", YAML_FIELD_SPAN, offsetof(Settings, sampling.tick_usec), 100 * USEC_PER_MSEC,
          USEC_PER_MINUTE, .text = "time between two live readings" },
        { NULL },
};

static const YamlField output_fields[] = {
        { "cap", YAML_FIELD_BYTES, offsetof(Settings, output.cap_bytes), 64 << 10, UINT64_C(1) << 40,
          .or_infinity = true, .text = "output that is kept of an attempt" },
        { NULL },
};

static const YamlField backup_fields[] = {
        { "interval", YAML_FIELD_SPAN, offsetof(Settings, backup.interval_usec), USEC_PER_MINUTE,
          366 * USEC_PER_DAY, .or_infinity = true, .text = "time between two copies of the database" },
        { "keep", YAML_FIELD_U32, offsetof(Settings, backup.keep), 1, 100, .text = "copies that are kept" },
        { NULL },
};

static const YamlField line_log_fields[] = {
        { "size", YAML_FIELD_BYTES, offsetof(Settings, line_log.max_bytes), 64 << 10, UINT64_C(1) << 40,
          .or_infinity = true, .text = "size at which a file of the line log is renamed" },
        { "files", YAML_FIELD_U32, offsetof(Settings, line_log.files), 0, 100,
          .text = "files of the line log that are kept" },
        { NULL },
};

static const YamlField limits_fields[] = {
        { "tasks_per_uid", YAML_FIELD_U32, offsetof(Settings, limits.tasks_per_uid), 1, 1000000,
          .text = "tasks of one owner that have not ended" },
        { "connections", YAML_FIELD_U32, offsetof(Settings, limits.connections), 16, 65536,
          .text = "clients at the same time" },
        { NULL },
};

const YamlField settings_fields[] = {
        { "sampling", YAML_FIELD_MAP, .fields = sampling_fields },
        { "output", YAML_FIELD_MAP, .fields = output_fields },
        { "grace", YAML_FIELD_SPAN, offsetof(Settings, grace_usec), 0, USEC_PER_HOUR,
          .text = "time between SIGTERM and SIGKILL" },
        { "backup", YAML_FIELD_MAP, .fields = backup_fields },
        { "line_log", YAML_FIELD_MAP, .fields = line_log_fields },
        { "limits", YAML_FIELD_MAP, .fields = limits_fields },
        { NULL },
};

static int is_settings_file(const struct dirent *e)
{
        size_t n = strlen(e->d_name);
        return e->d_name[0] != '.' && n > 5 && streq(e->d_name + n - 5, ".yaml");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_file(const char *directory, const char *name, Settings *s, ReeveError *reterr)
{
        _cleanup_free_ char *path = string_printf("%s/%s", directory, name);
        _cleanup_(yaml_tree_freep) YamlTree *tree = NULL;

        if (!path)
                return -ENOMEM;
        int r = yaml_tree_read(path, &tree, reterr);
        if (r < 0)
                return r;
        return yaml_load(tree, tree->root, "", settings_fields, s, reterr);
}

static int load_files(const char *directory, struct dirent **entries, int n, Settings *s, ReeveError *reterr)
{
        for (int i = 0; i < n; i++) {
                int r = load_file(directory, entries[i]->d_name, s, reterr);
                if (r == -ENOMEM)
                        return reeve_error_errno(reterr, r, NULL, "Cannot read %s", directory);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int check_together(const char *directory, const Settings *s, ReeveError *reterr)
{
        char low[64], high[64];

        if (s->sampling.min_usec <= s->sampling.max_usec)
                return 0;
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "sampling.min",
                               "%s: sampling.min (%s) is above sampling.max (%s)", directory,
                               usec_format_span(s->sampling.min_usec, low, sizeof(low)),
                               usec_format_span(s->sampling.max_usec, high, sizeof(high)));
}

int settings_load(const char *directory, Settings *ret, ReeveError *reterr)
{
        Settings s = settings_default;
        struct dirent **entries;

        assert(directory);
        assert(ret);

        int n = scandir(directory, &entries, is_settings_file, by_name);
        if (n < 0 && errno == ENOENT) {
                n = 0;
                entries = NULL;
        }
        if (n < 0)
                return reeve_error_errno(reterr, errno, NULL, "Cannot read %s", directory);

        int r = load_files(directory, entries, n, &s, reterr);
        for (int i = 0; i < n; i++)
                free(entries[i]);
        free(entries);
        if (r >= 0)
                r = check_together(directory, &s, reterr);
        if (r < 0)
                return r;
        *ret = s;
        return 0;
}

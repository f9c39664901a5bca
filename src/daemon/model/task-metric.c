/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What may be asked about a task in one number. Policies are refused when they name anything else, so that nobody believes a rule to be
 * checked that can never pass; that is why both questions are answered by the same tables.
 *
 * Names are looked for among the counters first, then among the figures that are made of counters (the generated columns of
 * task_registry and the names that reporters use), then among what was reported. A sum of two counters of which one is not known is
 * that of the other: reports often say one of them. */

#include "daemon/model/task-metric.h"

#include <string.h>

#include "basic/strings.h"
#include "common/json/json.h"

#define MB              (1024.0 * 1024.0)
#define REPORTED_PREFIX "ml."

static const struct {
        const char *name;
        UsageField a, b; /* b: added, unless it is the same */
        double unit;
} figures[] = {
        { "cpu_seconds", USAGE_CPU, USAGE_CPU, USEC_PER_SEC },
        { "cpu_user_seconds", USAGE_CPU_USER, USAGE_CPU_USER, USEC_PER_SEC },
        { "cpu_system_seconds", USAGE_CPU_SYSTEM, USAGE_CPU_SYSTEM, USEC_PER_SEC },
        { "memory_mb", USAGE_MEMORY_PEAK, USAGE_MEMORY_PEAK, MB },
        { "memory_peak_mb", USAGE_MEMORY_PEAK, USAGE_MEMORY_PEAK, MB },
        { "disk_mb", USAGE_IO_READ, USAGE_IO_WRITE, MB },
        { "disk_read_mb", USAGE_IO_READ, USAGE_IO_READ, MB },
        { "disk_write_mb", USAGE_IO_WRITE, USAGE_IO_WRITE, MB },
        { "network_mb", USAGE_NET_RX, USAGE_NET_TX, MB },
        { "network_rx_mb", USAGE_NET_RX, USAGE_NET_RX, MB },
        { "network_tx_mb", USAGE_NET_TX, USAGE_NET_TX, MB },
        { "storage_delta_mb", USAGE_STORAGE_DELTA, USAGE_STORAGE_DELTA, MB },
};

bool task_metric_name_is_valid(const char *name)
{
        assert(name);

        size_t n = strlen(name);
        return n >= 1 && n <= TASK_METRIC_NAME_MAX &&
               strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:/@-") == n;
}

static int find_figure(const char *name)
{
        for (size_t i = 0; i < ELEMENTSOF(figures); i++)
                if (streq(figures[i].name, name))
                        return (int)i;
        return -1;
}

static int find_column(const char *name)
{
        for (int m = 0; m < _TASK_ML_MAX; m++)
                if (streq(task_ml_name((TaskMl)m), name))
                        return m;
        return -1;
}

bool task_metric_exists(const char *name)
{
        assert(name);

        const char *reported = string_after(name, REPORTED_PREFIX);
        return streq(name, "duration_seconds") || usage_field_from_name(name) >= 0 ||
               find_figure(name) >= 0 || find_column(name) >= 0 ||
               (reported && task_metric_name_is_valid(reported));
}

static bool add_counter(const TaskRow *t, UsageField f, double *sum)
{
        if (!usage_has(&t->usage, f))
                return false;
        *sum += (double)t->usage.value[f];
        return true;
}

static bool add_reported(const TaskRow *t, const char *name, double *sum)
{
        _cleanup_json_ json_t *metrics = NULL;

        if (!t->ml_metrics || json_parse(t->ml_metrics, strlen(t->ml_metrics), 2, &metrics, NULL) < 0)
                return false;
        const json_t *value = json_object_get(metrics, name);
        *sum += json_number_value(value);
        return json_is_number(value);
}

bool task_metric(const TaskRow *t, const char *name, double *ret)
{
        int i;

        assert(t);
        assert(name);
        assert(ret);

        *ret = 0;
        if (streq(name, "duration_seconds")) {
                *ret = (double)t->duration_usec / USEC_PER_SEC;
                return t->started_realtime > 0;
        }
        UsageField counter = usage_field_from_name(name);
        if (counter >= 0)
                return add_counter(t, counter, ret);
        if ((i = find_figure(name)) >= 0) {
                bool known = add_counter(t, figures[i].a, ret);
                if (figures[i].b != figures[i].a)
                        known |= add_counter(t, figures[i].b, ret);
                *ret /= figures[i].unit;
                return known;
        }
        if ((i = find_column(name)) >= 0) {
                *ret = t->has_ml[i] ? t->ml[i] : 0;
                return t->has_ml[i];
        }
        name = string_after(name, REPORTED_PREFIX);
        return name && add_reported(t, name, ret);
}

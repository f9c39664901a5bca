/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A limit that cannot be put in force is refused with its name; none is dropped in silence. When the author and
 * reeved both name a limit, the smaller value stays, so reeved can only restrict.
 *
 * libcgroup sets limits in cgroups that exist; it does not create them here (mkdir is ten times faster and gives a
 * descriptor to clone into), attach, list or read. Measured limits of version 2.0.2, which decide when it is used,
 * and when the file is written without it:
 *
 *  - on a host that has version 1 hierarchies it takes their mounts for the controllers': not used there;
 *  - it holds one value for each file, so io.max, one line for each device, is not for it;
 *  - it would enable controllers in ancestors that are not ours: they are enabled before (pool.c), and modifying,
 *    unlike creating, does not touch them;
 *  - its tables are large, so cgroup_init() runs when the first limit is set and not before. */

#include "launcher/limits.h"

#include <errno.h>
#include <libcgroup.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "basic/fd.h"
#include "common/unit-property/unit-property-bus.h"
#include "launcher/systemd-features.h"

/* A second setting of the same thing leaves the stricter value. -EINVAL: they cannot be compared. */
static int merge(LimitSettings *all, const LimitSetting *fresh)
{
        for (size_t i = 0; i < all->n; i++) {
                LimitSetting *old = all->items + i;

                if (old->kind == fresh->kind && strcmp(old->value.device, fresh->value.device) == 0)
                        return limit_narrow(&old->value, &fresh->value);
        }
        if (all->n == ELEMENTSOF(all->items))
                return -E2BIG;
        all->items[all->n++] = *fresh;
        return 0;
}

static int refuse_without_controller(const char *name, CgroupController c, ReeveError *reterr)
{
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                               "this host has no %s controller in cgroup v2 to enforce it with",
                               cgroup_controller_name(c));
}

static int resolve(LimitSettings *s, const SpecLimit *limit, uint32_t controllers, ReeveError *reterr)
{
        LimitSetting fresh = { .kind = limit_kind_find(limit->name) };

        if (!fresh.kind)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, limit->name,
                                       "there is no limit of this name");
        if (!(controllers & (UINT32_C(1) << fresh.kind->controller)))
                return refuse_without_controller(limit->name, fresh.kind->controller, reterr);
        if (limit_parse(fresh.kind, limit->value, &fresh.value) < 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, limit->name,
                                       "'%s' is not a value of this limit", limit->value);
        if (merge(s, &fresh) < 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, limit->name,
                                       "it is set to different lists");
        return 0;
}

int limits_resolve(LimitSettings *s, const SpecLimit *limits, size_t n, uint32_t controllers,
                   ReeveError *reterr)
{
        int r = 0;

        assert(s);
        assert(limits || n == 0);

        for (size_t i = 0; r >= 0 && i < n; i++)
                r = resolve(s, limits + i, controllers, reterr);
        return r;
}

/* A device that is no disk (a tmpfs has one, too). */
static int check_disk(const char *name, const char *device, ReeveError *reterr)
{
        char path[48];

        snprintf(path, sizeof(path), "/sys/dev/block/%s", device);
        return !device[0] || access(path, F_OK) >= 0
                               ? 0
                               : reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name,
                                                 "device %s is no disk of this host", device);
}

/* That it may be given is known from authorise.c. */
static int check_property(const SpecLimit *property, uint32_t controllers, ReeveError *reterr)
{
        UnitPropertyValue v;
        UnitProperty p;

        int r = unit_property_find(property->name, &p);
        if (r >= 0)
                r = unit_property_parse(&p, property->value, &v);
        if (r < 0)
                return reeve_error_errno(reterr, r, property->name, "cannot read a property");
        CgroupController c = unit_property_controller(&p);
        if (c != _CGROUP_CONTROLLER_MAX && !(controllers & (UINT32_C(1) << c)))
                return refuse_without_controller(p.name, c, reterr);
        if (unit_property_needs_bpf(&p) && systemd_has_bpf_framework() <= 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, p.name,
                                       "this host's systemd has no BPF framework to enforce it with");
        return check_disk(p.name, v.device, reterr);
}

int limits_check_scope(const LimitSettings *s, const Spec *spec, uid_t author, uint32_t controllers,
                       ReeveError *reterr)
{
        int r = 0;

        assert(s);
        assert(spec);

        for (size_t i = 0; r >= 0 && i < s->n; i++) {
                r = unit_property_check_limit(s->items[i].kind, &s->items[i].value, author, reterr);
                if (r >= 0)
                        r = check_disk(s->items[i].kind->name, s->items[i].value.device, reterr);
        }
        for (size_t i = 0; r >= 0 && i < spec->n_properties; i++)
                r = check_property(spec->properties + i, controllers, reterr);
        return r;
}

int limits_add_priority(LimitSettings *s, uint32_t priority, uint32_t controllers, ReeveError *reterr)
{
        static const char *const names[] = { "CPUWeight", "IOWeight" };

        assert(s);

        if (priority < LIMIT_PRIORITY_MIN || priority > LIMIT_PRIORITY_MAX)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "priority",
                                       "it is not 1 to 10");
        if (priority == LIMIT_PRIORITY_NORMAL) /* a leaf is born with it */
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                LimitSetting wish = { .kind = limit_kind_find(names[i]), .is_wish = true };
                bool is_set = !(controllers & (UINT32_C(1) << wish.kind->controller));

                for (size_t k = 0; k < s->n; k++)
                        is_set |= s->items[k].kind == wish.kind;
                wish.value.amount = limit_priority_weight(priority);
                if (!is_set && s->n < ELEMENTSOF(s->items))
                        s->items[s->n++] = wish;
        }
        return 0;
}

/* Are there hierarchies of version 1? A line of /proc/self/cgroup for anything but "0::" says so. */
static bool host_is_hybrid(void)
{
        char text[4096];

        if (fd_read_file_at(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text)) < 0)
                return true;
        return strncmp(text, "0::", 3) != 0;
}

static bool library_is_ready(void)
{
        static int ready = -1;

        if (ready < 0)
                ready = !host_is_hybrid() && cgroup_init() == 0;
        return ready > 0;
}

/* Sets one value in an existing cgroup through libcgroup. -EOPNOTSUPP where it is not sound; other negative errno if
 * it fails. */
static int write_by_library(const char *leaf_path, const LimitKind *k, const char *value)
{
        if (k->form == LIMIT_DEVICE || !library_is_ready())
                return -EOPNOTSUPP;
        struct cgroup *group = cgroup_new_cgroup(leaf_path);
        if (!group)
                return -ENOMEM;
        struct cgroup_controller *c = cgroup_add_controller(group, cgroup_controller_name(k->controller));
        int r = !c                                                ? -EINVAL
                : cgroup_add_value_string(c, k->file, value) != 0 ? -EINVAL
                : cgroup_modify_cgroup(group) != 0                ? -EIO
                                                                  : 0;
        cgroup_free(&group);
        return r;
}

int limits_apply(int leaf_fd, const char *leaf_path, const LimitSettings *s, ReeveError *reterr)
{
        char text[LIMIT_TEXT_SIZE];

        assert(leaf_path);
        assert(s);

        for (size_t i = 0; i < s->n; i++) {
                const LimitKind *k = s->items[i].kind;

                limit_format(k, &s->items[i].value, text);
                if (write_by_library(leaf_path, k, text) >= 0)
                        continue;
                int r = fd_write_file_at(leaf_fd, k->file, text);
                if (r < 0 && !s->items[i].is_wish)
                        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, k->file,
                                               "the kernel refuses '%s': %s", text, strerrordesc_np(-r));
        }
        return 0;
}

int limits_append(sd_bus_message *m, const LimitSettings *s)
{
        int r = 0;

        assert(m);
        assert(s);

        for (size_t i = 0; r >= 0 && i < s->n; i++)
                r = unit_property_append_limit(m, s->items[i].kind, &s->items[i].value);
        return r;
}

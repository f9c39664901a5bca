/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What people write, in the notations of systemd's settings, as the canonical values of common/limit and
 * common/unit-property. It is done with the rights of who writes: a path is looked up here and becomes the number of
 * a device, so nobody learns through root what is where. A percentage of memory is one of this machine's physical
 * memory. */

#include "libreeve/property-value.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/parse.h"
#include "basic/strings.h"
#include "common/unit-property/unit-property.h"

int property_bad_value(const char *name, const char *value, const char *expected, ReeveError *reterr)
{
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name, "'%.100s' is not %s", value,
                               expected);
}

static uint64_t physical_memory(void)
{
        long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
        return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

int property_read_memory(const char *name, const char *value, uint64_t *ret, ReeveError *reterr)
{
        uint32_t permyriad;

        assert(name);
        assert(value);
        assert(ret);

        if (parse_permyriad(value, &permyriad) >= 0 && permyriad <= 10000 && physical_memory() > 0)
                *ret = physical_memory() / 10000 * permyriad;
        else if (parse_bytes(value, ret) < 0)
                return property_bad_value(name, value,
                                          "a number of bytes (512M), a percentage or 'infinity'", reterr);
        return 0;
}

/* The kernel limits whole disks; a partition's is the directory above its own in sysfs. */
static dev_t whole_disk(dev_t device)
{
        unsigned disk_major, disk_minor;
        char path[96], text[32];

        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major(device), minor(device));
        if (access(path, F_OK) < 0)
                return device;
        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../dev", major(device), minor(device));
        if (fd_read_file_at(AT_FDCWD, path, text, sizeof(text)) < 0 ||
            sscanf(text, "%u:%u", &disk_major, &disk_minor) != 2)
                return device;
        return makedev(disk_major, disk_minor);
}

int property_read_device(const char *name, const char *value, int (*parse)(const char *, uint64_t *),
                         char ret[static PROPERTY_DEVICE_SIZE], ReeveError *reterr)
{
        char number[24] = "infinity";
        struct stat st;
        uint64_t v;

        assert(name);
        assert(value);
        assert(parse);

        size_t n = strcspn(value, " ");
        if (n == 0 || !value[n])
                return property_bad_value(name, value, "a device and a number (/dev/sda 5M)", reterr);
        const char *limit = value + n + strspn(value + n, " ");
        if (parse(limit, &v) < 0 || v == 0)
                return property_bad_value(name, limit, "a number above 0 or 'infinity'", reterr);

        _cleanup_free_ char *device = strndup(value, n);
        if (!device)
                return reeve_error_errno(reterr, ENOMEM, name, "cannot set a limit");
        if (stat(device, &st) < 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, name, "%.200s: %s", device,
                                       strerrordesc_np(errno));
        dev_t dev = whole_disk(S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev);

        if (v != UINT64_MAX)
                snprintf(number, sizeof(number), "%" PRIu64, v);
        snprintf(ret, PROPERTY_DEVICE_SIZE, "%u:%u %s", major(dev), minor(dev), number);
        return 0;
}

/* One of "3" and "0-3". */
static bool range_is_valid(const char *text)
{
        uint32_t first, last;
        char copy[32];

        if (strlen(text) >= sizeof(copy))
                return false;
        strcpy(copy, text);
        char *dash = strchr(copy, '-');
        if (dash)
                *dash++ = '\0';
        return parse_u32(copy, &first) >= 0 && first < UNIT_PROPERTY_LIST_MAX &&
               (!dash || (parse_u32(dash, &last) >= 0 && last >= first && last < UNIT_PROPERTY_LIST_MAX));
}

/* systemd separates ranges by blanks or commas; the canonical form has commas. */
int property_read_list(const char *name, const char *value, char **ret, ReeveError *reterr)
{
        _cleanup_free_ char *copy = strdup(value);
        _cleanup_buffer_ Buffer list = { 0 };
        char *rest = NULL;

        assert(name);
        assert(value);
        assert(ret);

        if (!copy)
                return reeve_error_errno(reterr, ENOMEM, name, "cannot set a limit");
        for (char *range = strtok_r(copy, ", ", &rest); range; range = strtok_r(NULL, ", ", &rest)) {
                if (!range_is_valid(range))
                        return property_bad_value(name, range, "a number or a range (0-3)", reterr);
                if (buffer_printf(&list, "%s%s", list.size > 0 ? "," : "", range) < 0)
                        return reeve_error_errno(reterr, ENOMEM, name, "cannot set a limit");
        }
        if (list.size == 0)
                return property_bad_value(name, value, "a list of numbers and ranges (0-3,5)", reterr);
        *ret = buffer_take(&list);
        return 0;
}

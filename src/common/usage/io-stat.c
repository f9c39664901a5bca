/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* io.stat, with stacked devices counted once.
 *
 * A write to a file on LVM on a disk appears twice: the bio is charged when device-mapper takes it and its clone
 * when the disk does. Their sum would double every figure. What reached the lowest devices is what was "read from
 * devices" and "written to devices", so a line counts unless it belongs to a device that stands, directly or through
 * others, on one that has a line too. (The layers between may have none: a raid that was idle in this cgroup.)
 *
 * What stands on what is in sysfs, below <sysfs>/dev/block/<major>:<minor>:
 *
 *     slaves/NAME/dev          a device below this one (device-mapper, md, bcache)
 *     slaves/NAME/partition    it is a partition; io.stat has whole disks, so its parent's number, ../dev, counts
 *     loop/backing_file        a loop device: below it is the device of the file system of this file
 *
 * Known gap: a file system with an anonymous device number (btrfs, overlayfs, tmpfs) does not say on which disks
 * it stands, so a loop device on a btrfs file counts beside the disk.
 *
 * All lookups are bounded: DEVICES_MAX lines, DEPTH_MAX layers. With one busy device, the normal case, sysfs is not
 * touched. Devices beyond DEVICES_MAX are added up without the question. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "basic/dir.h"
#include "basic/fd.h"
#include "basic/strings.h"
#include "common/usage/scan.h"
#include "common/usage/usage.h"

#define DEVICES_MAX 64
#define DEPTH_MAX   8

typedef enum Counter {
        READ_BYTES,
        WRITE_BYTES,
        READ_OPS,
        WRITE_OPS,
        N_COUNTERS,
} Counter;

static const struct {
        const char *key;
        UsageField field;
} counters[N_COUNTERS] = {
        [READ_BYTES] = { "rbytes=", USAGE_IO_READ },
        [WRITE_BYTES] = { "wbytes=", USAGE_IO_WRITE },
        [READ_OPS] = { "rios=", USAGE_IO_READ_OPS },
        [WRITE_OPS] = { "wios=", USAGE_IO_WRITE_OPS },
};

typedef struct Device {
        dev_t number;
        uint64_t value[N_COUNTERS];
} Device;

typedef struct Devices {
        Device item[DEVICES_MAX];
        size_t n;
        const char *sysfs;
} Devices;

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
        return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* "MAJ:MIN", moving *p behind it. */
static bool scan_device(const char **p, dev_t *ret)
{
        uint64_t major, minor;

        if (!scan_u64(p, &major) || **p != ':')
                return false;
        (*p)++;
        if (!scan_u64(p, &minor) || major > UINT32_MAX || minor > UINT32_MAX)
                return false;
        *ret = makedev((unsigned)major, (unsigned)minor);
        return true;
}

/* A line "MAJ:MIN key=number ..."; false if it is not one. Unknown keys, as of io.latency and io.cost, may stand
 * between the known ones. */
static bool parse_line(const char *p, Device *ret)
{
        Device d = { 0 };

        if (!scan_device(&p, &d.number))
                return false;
        while (*p == ' ') {
                p++;
                for (size_t i = 0; i < N_COUNTERS; i++) {
                        const char *number = string_after(p, counters[i].key);
                        uint64_t v;
                        if (number && scan_u64(&number, &v))
                                d.value[i] = v;
                }
                p += strcspn(p, " \n");
        }
        *ret = d;
        return true;
}

static bool is_idle(const Device *d)
{
        for (size_t i = 0; i < N_COUNTERS; i++)
                if (d->value[i] > 0)
                        return false;
        return true;
}

static bool is_listed(const Devices *all, dev_t number)
{
        for (size_t i = 0; i < all->n; i++)
                if (all->item[i].number == number)
                        return true;
        return false;
}

/* The number in a "dev" file. */
static bool read_device(int dir_fd, const char *path, dev_t *ret)
{
        char text[32];
        const char *p = text;

        return fd_read_file_at(dir_fd, path, text, sizeof(text)) > 0 && scan_device(&p, ret);
}

/* The whole disk behind the block device whose sysfs directory is <dir>/<name> (a partition's parent). */
static bool read_disk(int dir_fd, const char *name, dev_t *ret)
{
        char path[300];

        snprintf(path, sizeof(path), "%s/partition", name);
        bool is_partition = faccessat(dir_fd, path, F_OK, 0) == 0;
        snprintf(path, sizeof(path), "%s/%s", name, is_partition ? "../dev" : "dev");
        return read_device(dir_fd, path, ret);
}

static bool stands_on_listed(const Devices *all, dev_t number, unsigned depth);

/* Is this one, which is below another, listed or on a listed one? */
static bool is_or_stands_on_listed(const Devices *all, dev_t below, unsigned depth)
{
        return is_listed(all, below) || stands_on_listed(all, below, depth + 1);
}

static bool slaves_listed(const Devices *all, int device_fd, unsigned depth)
{
        bool found = false;
        dev_t below;

        _cleanup_closedir_ DIR *dir = dir_open_at(device_fd, "slaves");
        const struct dirent *entry;
        while (dir && !found && (entry = readdir(dir)))
                if (entry->d_name[0] != '.' && read_disk(dirfd(dir), entry->d_name, &below))
                        found = is_or_stands_on_listed(all, below, depth);
        return found;
}

static bool backing_file_listed(const Devices *all, int device_fd, unsigned depth)
{
        char path[4096], name[64];
        struct stat st;
        dev_t below;

        ssize_t n = fd_read_file_at(device_fd, "loop/backing_file", path, sizeof(path));
        if (n <= 0)
                return false;
        path[strcspn(path, "\n")] = '\0';
        if (stat(path, &st) < 0)
                return false;

        _cleanup_fd_ int block_fd = openat(AT_FDCWD, all->sysfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
        snprintf(name, sizeof(name), "dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
        return block_fd >= 0 && read_disk(block_fd, name, &below) &&
               is_or_stands_on_listed(all, below, depth);
}

/* Is there a listed device anywhere below this one? */
static bool stands_on_listed(const Devices *all, dev_t number, unsigned depth)
{
        char path[512];

        if (depth >= DEPTH_MAX)
                return false;
        int n = snprintf(path, sizeof(path), "%s/dev/block/%u:%u", all->sysfs, major(number), minor(number));
        if (n < 0 || (size_t)n >= sizeof(path))
                return false;
        _cleanup_fd_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd >= 0 && (slaves_listed(all, fd, depth) || backing_file_listed(all, fd, depth));
}

void usage_parse_io_stat(Usage *u, const char *text, const char *sysfs, UsageSource source)
{
        uint64_t sum[N_COUNTERS] = { 0 };
        Devices all = { .sysfs = sysfs };
        bool understood = *text == '\0'; /* no device had any I/O: that is known, and it is 0 */
        Device d;

        assert(u);
        assert(text);
        assert(sysfs);

        for (const char *line = text; *line; line = scan_next_line(line)) {
                if (!parse_line(line, &d))
                        continue;
                understood = true;
                if (is_idle(&d))
                        continue;
                if (all.n < DEVICES_MAX)
                        all.item[all.n++] = d;
                else
                        for (size_t i = 0; i < N_COUNTERS; i++)
                                sum[i] = add_saturating(sum[i], d.value[i]);
        }

        if (!understood)
                return;

        for (size_t k = 0; k < all.n; k++) {
                if (all.n > 1 && stands_on_listed(&all, all.item[k].number, 0))
                        continue;
                for (size_t i = 0; i < N_COUNTERS; i++)
                        sum[i] = add_saturating(sum[i], all.item[k].value[i]);
        }
        for (size_t i = 0; i < N_COUNTERS; i++)
                usage_set(u, counters[i].field, sum[i], source);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Where cgroup v2 is mounted, and what a cgroup says about itself.
 *
 * Kernel files are read whole and parsed in place; keys that are not known are passed over, since every release
 * adds some. cgroup.procs alone has no bound (a fork bomb fills megabytes), so it is read piece by piece.
 *
 * On a hybrid host, where v1 has the controllers, v2 is mounted at .../unified; in a container there may be none.
 * A mount whose root is not "/" shows only a part of the tree (a bind mount of somebody's) and is not taken. */

#include "common/cgroup/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "basic/fd.h"
#include "basic/strings.h"

#define MOUNTINFO_MAX (16U * 1024 * 1024)

static const char *const controller_names[_CGROUP_CONTROLLER_MAX] = {
        [CGROUP_CPU] = "cpu",   [CGROUP_MEMORY] = "memory", [CGROUP_IO] = "io",
        [CGROUP_PIDS] = "pids", [CGROUP_CPUSET] = "cpuset",
};

const char *cgroup_controller_name(CgroupController c)
{
        assert(c >= 0 && c < _CGROUP_CONTROLLER_MAX);
        return controller_names[c];
}

/* Resolves the octal escapes of mountinfo (\040 for a blank) in place. */
static void unescape(char *text)
{
        char *to = text;

        for (const char *p = text; *p;) {
                bool escape = p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
                              p[3] >= '0' && p[3] <= '7';
                if (escape) {
                        *to++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
                        p += 4;
                } else
                        *to++ = *p++;
        }
        *to = '\0';
}

/* The mount point in a line "ID PARENT MAJ:MIN ROOT POINT OPTIONS [OPTIONAL...] - TYPE SOURCE SUPER" if it is what
 * we look for, else NULL. Cuts the line. */
static char *match_mount(char *line)
{
        char *fields[5], *rest = line;

        char *type = strstr(line, " - ");
        if (!type || !string_after(type + 3, "cgroup2 "))
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (!(fields[i] = strsep(&rest, " ")))
                        return NULL;
        return streq(fields[3], "/") && fields[4][0] == '/' ? fields[4] : NULL;
}

int cgroup_mount_from_mountinfo(const char *mountinfo, char **ret_path)
{
        assert(mountinfo);
        assert(ret_path);

        _cleanup_free_ char *copy = strdup(mountinfo);
        if (!copy)
                return -ENOMEM;
        char *rest = copy, *line;
        while ((line = strsep(&rest, "\n"))) {
                char *point = match_mount(line);
                if (!point)
                        continue;
                unescape(point);
                *ret_path = strdup(point);
                return *ret_path ? 0 : -ENOMEM;
        }
        return -ENOENT;
}

int cgroup_open_mount(int *ret_fd, char **ret_path)
{
        _cleanup_free_ char *mountinfo = NULL, *path = NULL;

        assert(ret_fd);

        int r = fd_read_file_alloc(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &mountinfo, NULL);
        if (r < 0)
                return r;
        r = cgroup_mount_from_mountinfo(mountinfo, &path);
        if (r < 0)
                return r;
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        *ret_fd = fd;
        if (ret_path)
                *ret_path = TAKE_PTR(path);
        return 0;
}

int cgroup_controllers(int dir_fd, uint32_t *ret_mask)
{
        char text[1024], *rest = text, *word;
        uint32_t mask = 0;

        assert(ret_mask);

        ssize_t n = fd_read_file_at(dir_fd, "cgroup.controllers", text, sizeof(text));
        if (n < 0)
                return (int)n;
        while ((word = strsep(&rest, " \n")))
                for (unsigned c = 0; c < _CGROUP_CONTROLLER_MAX; c++)
                        if (streq(word, controller_names[c]))
                                mask |= UINT32_C(1) << c;
        *ret_mask = mask;
        return 0;
}

/* The value of a line "key 0" or "key 1"; leaves *ret alone if there is none. True if there is. */
static bool parse_flag(const char *line, const char *key, bool *ret)
{
        const char *value = string_after(line, key);

        if (!value || value[0] != ' ' || (value[1] != '0' && value[1] != '1') ||
            (value[2] != '\n' && value[2] != '\0'))
                return false;
        if (ret)
                *ret = value[1] == '1';
        return true;
}

/* True if "populated" was there. */
static bool parse_events(const char *text, bool *ret_populated, bool *ret_frozen)
{
        bool found = false;

        for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
                found |= parse_flag(line, "populated", ret_populated);
                parse_flag(line, "frozen", ret_frozen);
        }
        return found;
}

void cgroup_events_parse(const char *text, bool *ret_populated, bool *ret_frozen)
{
        assert(text);

        parse_events(text, ret_populated, ret_frozen);
}

int cgroup_events(int dir_fd, bool *ret_populated, bool *ret_frozen)
{
        bool populated = false, frozen = false;
        char text[512];

        ssize_t n = fd_read_file_at(dir_fd, "cgroup.events", text, sizeof(text));
        if (n < 0)
                return (int)n;
        if (!parse_events(text, &populated, &frozen))
                return -EBADMSG;
        if (ret_populated)
                *ret_populated = populated;
        if (ret_frozen)
                *ret_frozen = frozen;
        return 0;
}

/* Numbers that arrive in pieces. */
typedef struct PidList {
        pid_t *pids;
        size_t max, n;
        uint64_t number; /* the one that is being read */
} PidList;

static void take_byte(PidList *l, char c)
{
        if (c >= '0' && c <= '9') {
                l->number = MIN(l->number * 10 + (uint64_t)(c - '0'), (uint64_t)INT32_MAX);
                return;
        }
        if (l->number > 0) {
                if (l->n < l->max)
                        l->pids[l->n] = (pid_t)l->number;
                l->n++;
        }
        l->number = 0;
}

int cgroup_procs(int dir_fd, pid_t *pids, size_t max)
{
        PidList list = { .pids = pids, .max = max };
        char piece[4096];

        assert(pids || max == 0);

        _cleanup_fd_ int fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        for (;;) {
                ssize_t n = fd_read_full(fd, piece, sizeof(piece));
                if (n < 0)
                        return (int)n;
                for (ssize_t i = 0; i < n; i++)
                        take_byte(&list, piece[i]);
                if ((size_t)n < sizeof(piece))
                        break;
        }
        take_byte(&list, '\n');
        return (int)MIN(list.n, (size_t)INT32_MAX);
}

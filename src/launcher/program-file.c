/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whoever names a program to the launcher is not trusted, so the name decides nothing but which of root's programs
 * it is. Each directory on the way down is opened relative to the last one, without following links, and must be
 * root's and writable for nobody else. (One that is sticky may be writable: /tmp, and the directory of a private
 * instance. Others can make entries there, but neither remove nor rename root's; what they make is not root's. The last
 * one, which holds the programs, has no such licence.) What is opened is what is executed: there is no second look-up by
 * name. A program with a set-id bit is refused: whose rights it has is reeve's to say. */

#include "launcher/program-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/strings.h"

#define OTHERS_WRITE (S_IWGRP | S_IWOTH)

static int check_dir(int fd, bool last)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        bool open_to_others = (st.st_mode & OTHERS_WRITE) && (last || !(st.st_mode & S_ISVTX));
        return st.st_uid != 0 || open_to_others ? -EPERM : 0;
}

/* -EPERM if somebody else than root could have changed something; other negative errno of openat(2). */
static int open_dir(const char *path)
{
        _cleanup_fd_ int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        char name[NAME_MAX + 1];

        for (const char *p = path; fd >= 0;) {
                p += strspn(p, "/");
                int r = check_dir(fd, !*p);
                if (r < 0)
                        return r;
                if (!*p)
                        return TAKE_FD(fd);
                size_t n = strcspn(p, "/");
                if (n > NAME_MAX)
                        return -ENAMETOOLONG;
                memcpy(name, p, n);
                name[n] = '\0';
                p += n;
                int next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (next < 0)
                        return errno == ENOTDIR ? -EPERM : -errno; /* a link, too */
                fd_close(fd);
                fd = next;
        }
        return -errno;
}

static int open_file(int dir_fd, const char *name, ProgramFile *ret)
{
        struct stat st;
        char start[2];

        _cleanup_fd_ int fd =
                        openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                return errno == ELOOP ? -EPERM : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & (OTHERS_WRITE | S_ISUID | S_ISGID)))
                return -EPERM;
        ret->is_script = pread(fd, start, 2, 0) == 2 && memcmp(start, "#!", 2) == 0;
        ret->fd = TAKE_FD(fd);
        return 0;
}

/* `wanted` is a name, or its path begins with this directory. NULL: it is in another. */
static const char *name_within(const char *wanted, const char *dir)
{
        const char *rest = strchr(wanted, '/') ? string_after(wanted, dir) : wanted;

        if (rest != wanted) /* a whole path */
                rest = rest && rest[0] == '/' ? rest + 1 : NULL;
        return rest && rest[0] && rest[0] != '.' && !strchr(rest, '/') ? rest : NULL;
}

int program_file_open(const Instance *i, InstancePath which, const char *wanted, ProgramFile *ret,
                      ReeveError *reterr)
{
        char own[PATH_MAX];
        const char *dirs[] = { own,
                               which == INSTANCE_HOOKS ? REEVE_LIBDIR "/hooks" : REEVE_LIBDIR "/checks" };
        int r = instance_path(i, which, own, sizeof(own));

        assert(wanted);
        assert(ret);

        if (r >= 0)
                r = -EPERM;
        for (size_t k = 0; k < ELEMENTSOF(dirs); k++) {
                const char *name = name_within(wanted, dirs[k]);
                if (!name)
                        continue;
                _cleanup_fd_ int dir_fd = open_dir(dirs[k]);
                r = dir_fd < 0 ? dir_fd : open_file(dir_fd, name, ret);
                if (r >= 0)
                        snprintf(ret->path, sizeof(ret->path), "%s/%s", dirs[k], name);
                if (r != -ENOENT)
                        break;
        }
        if (r == -ENOENT)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "program",
                                       "there is no such program in %s or %s", dirs[0], dirs[1]);
        if (r == -EPERM)
                return reeve_error_set(
                                reterr, REEVE_ERROR_PERMISSION_DENIED, "program",
                                "only root's own programs in %s and %s may be run, which nobody else can "
                                "change",
                                dirs[0], dirs[1]);
        return r < 0 ? reeve_error_errno(reterr, r, "program", "cannot open the program") : 0;
}

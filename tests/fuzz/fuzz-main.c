/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What stands in for libFuzzer in an ordinary build: it gives a target every file that is named on the command
 * line, or that lies in a directory named there. So each input that was ever of interest runs with the tests, with
 * whatever sanitizers the build has, and a finding becomes a regression test by copying one file into the corpus.
 *
 * A directory without files is a failure: a test that runs nothing proves nothing. */

#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "basic/fd.h"

#define INPUT_MAX (16U * 1024 * 1024)

static int run_file(int dir_fd, const char *path)
{
        _cleanup_free_ char *data = NULL;
        size_t size;

        int r = fd_read_file_alloc(dir_fd, path, INPUT_MAX, &data, &size);
        if (r < 0) {
                fprintf(stderr, "%s: %s\n", path, strerror(-r));
                return r;
        }
        /* A copy of the exact size, so that a sanitizer sees the first byte that is read beyond it. */
        _cleanup_free_ uint8_t *exact = malloc(size > 0 ? size : 1);
        if (!exact)
                return -ENOMEM;
        memcpy(exact, data, size);
        fprintf(stderr, "%s (%zu bytes)\n", path, size);
        LLVMFuzzerTestOneInput(exact, size);
        return 1;
}

/* Number of inputs, or a negative errno. */
static int run_directory(const char *path)
{
        const struct dirent *entry;
        int n = 0;

        DIR *dir = opendir(path);
        if (!dir) {
                fprintf(stderr, "%s: %m\n", path);
                return -errno;
        }
        while (n >= 0 && (entry = readdir(dir))) {
                if (entry->d_name[0] == '.')
                        continue;
                int r = run_file(dirfd(dir), entry->d_name);
                n = r < 0 ? r : n + r;
        }
        closedir(dir);
        if (n == 0) {
                fprintf(stderr, "%s: no inputs\n", path);
                return -ENOENT;
        }
        return n;
}

int main(int argc, char **argv)
{
        int total = 0;

        for (int i = 1; i < argc; i++) {
                struct stat st;
                bool is_directory = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode);
                int n = is_directory ? run_directory(argv[i]) : run_file(AT_FDCWD, argv[i]);
                if (n < 0)
                        return EXIT_FAILURE;
                total += n;
        }
        fprintf(stderr, "%d inputs\n", total);
        return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

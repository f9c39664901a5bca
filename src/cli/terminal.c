/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* As systemd's tools: colours and a pager only for people, that is, when standard output is a terminal; NO_COLOR and
 * an empty PAGER switch them off.
 *
 * All questions are about the terminal as it was when the program began, since a pager turns standard output into a
 * pipe. Under sudo, less is told to be secure (LESSSECURE): a pager must not be a way to a shell of root. */

#include "cli/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/strings.h"

typedef enum Known {
        UNKNOWN,
        NO,
        YES,
} Known;

static Known interactive;
static pid_t pager_pid;

bool terminal_is_interactive(void)
{
        if (interactive == UNKNOWN)
                interactive = isatty(STDOUT_FILENO) ? YES : NO;
        return interactive == YES;
}

bool terminal_has_colors(void)
{
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
        return terminal_is_interactive() && !(no_color && *no_color) && term && !streq(term, "dumb");
}

static struct winsize window(void)
{
        struct winsize size = { 0 };

        /* Standard error is still the terminal when output is paged. */
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
                (void)ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
        return size;
}

size_t terminal_columns(void)
{
        return terminal_is_interactive() ? window().ws_col ?: 80 : 0;
}

size_t terminal_rows(void)
{
        return terminal_is_interactive() ? window().ws_row ?: 24 : 0;
}

const char *terminal_color(const char *color)
{
        return terminal_has_colors() ? color : "";
}

const char *terminal_status_color(const char *status)
{
        static const struct {
                const char *status, *color;
        } colors[] = {
                { "pending", COLOR_YELLOW }, { "active", COLOR_GREEN }, { "verifying", COLOR_GREEN },
                { "failed", COLOR_RED },     { "lost", COLOR_RED },     { "cancelled", COLOR_GREY },
        };

        assert(status);

        for (size_t i = 0; i < ELEMENTSOF(colors); i++)
                if (streq(colors[i].status, status))
                        return terminal_color(colors[i].color);
        return "";
}

static _noreturn_ void exec_pager(const char *pager, int input)
{
        dup2(input, STDIN_FILENO);
        setenv("LESS", "FRSXMK", false);
        setenv("LESSCHARSET", "UTF-8", false);
        if (getenv("SUDO_UID")) /* a pager must not be a way to a shell of root */
                setenv("LESSSECURE", "1", true);
        if (pager)
                execl("/bin/sh", "sh", "-c", pager, NULL);
        execlp("less", "less", NULL);
        execlp("more", "more", NULL);
        execlp("cat", "cat", NULL);
        _exit(127);
}

void pager_open(bool use)
{
        const char *pager = getenv("PAGER");
        int ends[2];

        if (!use || !terminal_is_interactive() || (pager && (!*pager || streq(pager, "cat"))))
                return;
        if (pipe2(ends, O_CLOEXEC) < 0)
                return;
        _cleanup_fd_ int input = ends[0], output = ends[1];

        fflush(stdout);
        pid_t pid = fork();
        if (pid < 0)
                return;
        if (pid == 0)
                exec_pager(pager, input);
        if (dup2(output, STDOUT_FILENO) >= 0)
                pager_pid = pid;
}

void pager_close(void)
{
        if (pager_pid <= 0)
                return;
        fflush(stdout);
        close(STDOUT_FILENO);
        while (waitpid(pager_pid, NULL, 0) < 0 && errno == EINTR)
                ;
        pager_pid = 0;
}

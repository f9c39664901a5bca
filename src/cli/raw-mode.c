/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A terminal left in raw mode is unusable, so it is restored on every way out: raw_mode_leave(), exit (atexit), and
 * the signals of a crash, whose handler restores by tcsetattr(3), which is async-signal-safe, and then dies of the
 * signal. SIGINT, SIGTERM and SIGHUP are the caller's: they arrive at its event loop and end it in the ordinary way.
 * SIGKILL is beyond help.
 *
 * There is one terminal, so there is one saved state: entering twice without leaving would save the wrong one. */

#include "cli/raw-mode.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "basic/macro.h"

static struct termios saved;
static volatile sig_atomic_t is_saved;

void raw_mode_leave(void)
{
        if (is_saved) {
                is_saved = 0;
                (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
        }
}

static void on_crash(int signal)
{
        if (is_saved)
                (void)tcsetattr(STDIN_FILENO, TCSANOW, &saved);
        raise(signal); /* SA_RESETHAND: this time it kills */
}

static int prepare_for_the_end(void)
{
        static const int signals[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGSYS, SIGQUIT, SIGPIPE };
        struct sigaction action = { .sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND | SA_NODEFER };

        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                if (sigaction(signals[i], &action, NULL) < 0)
                        return -errno;
        return atexit(raw_mode_leave) != 0 ? -ENOMEM : 0;
}

int raw_mode_enter(RawMode mode)
{
        struct termios wanted;

        if (tcgetattr(STDIN_FILENO, &saved) < 0)
                return -errno;
        int r = prepare_for_the_end();
        if (r < 0)
                return r;
        wanted = saved;
        if (mode == RAW_MODE_ALL)
                cfmakeraw(&wanted);
        else
                wanted.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        is_saved = 1;
        return tcsetattr(STDIN_FILENO, TCSADRAIN, &wanted) < 0 ? -errno : 0;
}

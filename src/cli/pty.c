/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The caller's terminal is put into raw mode, so that every key goes to the task's terminal, whose line discipline does
 * what keys do there: Ctrl-C interrupts the task, Ctrl-D ends its input, Ctrl-Z stops it. raw-mode.c restores it on
 * every way out.
 *
 * The master is non-blocking (its open file is ours alone), standard input and output are left as they are: they may
 * be shared with other processes. What the task's terminal does not take at once waits here, and nothing more is read
 * meanwhile. When the caller goes away the master is closed, and the task gets a hang-up as from any terminal. */

#include "cli/pty.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "basic/fd.h"
#include "cli/raw-mode.h"

int pty_open(Pty *p, ReeveError *reterr)
{
        struct termios settings;
        struct winsize size;

        assert(p);

        *p = (Pty){ .master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), .slave = -EBADF };
        if (p->master < 0)
                return reeve_error_errno(reterr, errno, "pty", "cannot make a terminal");
        if (grantpt(p->master) < 0 || unlockpt(p->master) < 0)
                return reeve_error_errno(reterr, errno, "pty", "cannot make a terminal");
        p->slave = ioctl(p->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (p->slave < 0)
                return reeve_error_errno(reterr, errno, "pty", "cannot open the terminal");

        if (tcgetattr(STDIN_FILENO, &settings) >= 0)
                (void)tcsetattr(p->slave, TCSANOW, &settings);
        if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) >= 0 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) >= 0)
                (void)ioctl(p->master, TIOCSWINSZ, &size);
        return 0;
}

void pty_close_slave(Pty *p)
{
        assert(p);
        p->slave = fd_close(p->slave);
}

/* Gives the task what was typed. The rest waits until its terminal has room. */
static int flush_pending(Pty *p)
{
        ssize_t n = write(p->master, p->pending, p->n_pending);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
                p->n_pending = 0; /* nobody is there to read it */
                return 0;
        }
        if (n > 0) {
                p->n_pending -= (size_t)n;
                memmove(p->pending, p->pending + n, p->n_pending);
        }
        bool stuck = p->n_pending > 0;
        if (p->output)
                (void)sd_event_source_set_io_events(p->output, EPOLLIN | (stuck ? EPOLLOUT : 0));
        if (p->input)
                (void)sd_event_source_set_enabled(p->input, stuck ? SD_EVENT_OFF : SD_EVENT_ON);
        return 0;
}

/* The end of input that is no terminal is Ctrl-D to the task. */
static int read_input(Pty *p)
{
        struct termios settings;

        ssize_t n = read(STDIN_FILENO, p->pending, sizeof(p->pending));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0) {
                p->input = sd_event_source_disable_unref(p->input);
                p->pending[0] = tcgetattr(p->master, &settings) >= 0 ? (char)settings.c_cc[VEOF] : 4;
                n = 1;
        }
        p->n_pending = (size_t)n;
        return flush_pending(p);
}

static int on_input(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        return read_input(ASSERT_PTR(userdata));
}

/* Regular files cannot be polled, and need not be. */
static int on_file_input(sd_event_source *s, void *userdata)
{
        return read_input(ASSERT_PTR(userdata));
}

/* 1: there may be more; 0: not now, or never. */
static int relay_output(Pty *p)
{
        char buffer[16 * 1024];

        ssize_t n = read(p->master, buffer, sizeof(buffer));
        if (n <= 0) /* EIO: nobody has the other side open */
                return n < 0 && errno == EINTR;
        return fd_write_full(STDOUT_FILENO, buffer, (size_t)n) >= 0;
}

static int on_master(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Pty *p = ASSERT_PTR(userdata);

        if (revents & EPOLLOUT)
                flush_pending(p);
        if (revents & EPOLLIN)
                (void)relay_output(p);
        else if (revents & (EPOLLHUP | EPOLLERR))
                p->output = sd_event_source_disable_unref(p->output);
        return 0;
}

static int on_resize(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
        Pty *p = ASSERT_PTR(userdata);
        struct winsize size;

        if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) >= 0)
                (void)ioctl(p->master, TIOCSWINSZ, &size);
        return 0;
}

int pty_attach(Pty *p, sd_event *event)
{
        sigset_t set;

        assert(p);
        assert(event);

        p->event = sd_event_ref(event);
        if (isatty(STDIN_FILENO)) {
                int r = raw_mode_enter(RAW_MODE_ALL);
                if (r < 0)
                        return r;
        }
        sigemptyset(&set);
        sigaddset(&set, SIGWINCH);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        int r = sd_event_add_signal(event, &p->resize, SIGWINCH, on_resize, p);
        if (r >= 0)
                r = sd_event_add_io(event, &p->output, p->master, EPOLLIN, on_master, p);
        if (r < 0)
                return r;
        /* The window may have changed between pty_open() and the mask. */
        (void)on_resize(NULL, NULL, p);

        r = sd_event_add_io(event, &p->input, STDIN_FILENO, EPOLLIN, on_input, p);
        if (r == -EPERM) {
                r = sd_event_add_defer(event, &p->input, on_file_input, p);
                if (r >= 0)
                        r = sd_event_source_set_enabled(p->input, SD_EVENT_ON);
        }
        return r;
}

void pty_finish(Pty *p)
{
        assert(p);

        while (relay_output(p) > 0)
                ;
        raw_mode_leave();
}

void pty_done(Pty *p)
{
        assert(p);

        raw_mode_leave();
        p->input = sd_event_source_disable_unref(p->input);
        p->output = sd_event_source_disable_unref(p->output);
        p->resize = sd_event_source_disable_unref(p->resize);
        p->event = sd_event_unref(p->event);
        p->master = fd_close(p->master);
        p->slave = fd_close(p->slave);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeve-launcher: the privileged process. It decides who may run what, starts a keeper for each task, signals and
 * kills, and keeps one key and the list of spent tickets. It knows no policy, no JSON and no SQL, and everything it
 * is asked for comes from reeved, which it does not trust. docs/privilege-separation.md has the whole picture.
 *
 * It may be stopped, killed and replaced at any moment: tasks have keepers, and what it was about to do is in the
 * records, which the next one reads at start. */

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

#include "basic/crash.h"
#include "basic/fd.h"
#include "basic/log.h"
#include "basic/strings.h"
#include "common/clock.h"
#include "launcher/launcher.h"
#include "launcher/spent.h"

static const char *arg_root, *arg_prefix, *arg_user = "reeve", *arg_pool, *arg_backend = "auto";
static const char *arg_network_counters = "auto";

static int usage(FILE *out, int status)
{
        fputs("reeve-launcher [OPTIONS]\n\n"
              "Starts tasks on behalf of reeved, as root.\n\n"
              "  -h --help            show this text\n"
              "     --version         show the version\n"
              "     --root=DIR        private instance with everything below DIR\n"
              "     --prefix=NAME     name of the instance\n"
              "     --reeve-user=USER user of the registry, default reeve\n"
              "     --pool=PATH       cgroup for tasks, relative to the cgroup2 mount\n"
              "     --backend=NAME    auto (default), cgroup or process\n"
              "     --network-counters=auto|off\n"
              "                       count the network traffic of tasks where the kernel can (default)\n",
              out);
        return status;
}

/* 1: go on; 0 or negative: exit with -result. */
static int parse_argv(int argc, char **argv)
{
        enum { ARG_VERSION = 256, ARG_ROOT, ARG_PREFIX, ARG_USER, ARG_POOL, ARG_BACKEND, ARG_NETWORK };
        static const char **const places[] = { &arg_root, &arg_prefix,  &arg_user,
                                               &arg_pool, &arg_backend, &arg_network_counters };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                { "root", required_argument, NULL, ARG_ROOT },
                { "prefix", required_argument, NULL, ARG_PREFIX },
                { "reeve-user", required_argument, NULL, ARG_USER },
                { "pool", required_argument, NULL, ARG_POOL },
                { "backend", required_argument, NULL, ARG_BACKEND },
                { "network-counters", required_argument, NULL, ARG_NETWORK },
                { 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        return usage(stdout, 0);
                case ARG_VERSION:
                        puts("reeve-launcher " REEVE_VERSION);
                        return 0;
                case ARG_ROOT ... ARG_NETWORK:
                        *places[c - ARG_ROOT] = optarg;
                        break;
                default:
                        return usage(stderr, -2);
                }
        return optind == argc ? 1 : usage(stderr, -2);
}

static int on_stop(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
        return sd_event_exit(sd_event_source_get_event(s), 0);
}

static int on_day(sd_event_source *s, uint64_t now, void *userdata)
{
        Launcher *l = ASSERT_PTR(userdata);

        spent_expire(l->spent_fd, clock_realtime(clock_system()));
        sd_event_source_set_time(s, now + USEC_PER_DAY);
        return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static int add_sources(Launcher *l)
{
        int r = sd_event_new(&l->event);

        if (r >= 0)
                r = sd_event_add_signal(l->event, NULL, SIGTERM, on_stop, NULL);
        if (r >= 0)
                r = sd_event_add_signal(l->event, NULL, SIGINT, on_stop, NULL);
        if (r >= 0)
                r = sd_event_add_signal(l->event, NULL, SIGCHLD, watch_on_sigchld, l);
        if (r >= 0)
                r = sd_event_add_time(l->event, NULL, CLOCK_BOOTTIME, 0, USEC_PER_MINUTE, on_day, l);
        return r;
}

static int run(Launcher *l)
{
        ReeveError e = REEVE_ERROR_NULL;

        net_counters_init(&l->net, &l->pool, arg_network_counters);
        int r = launcher_setup(l, arg_user, &e);
        if (r < 0)
                return log_full_reeve_error(LOG_ERR, &e, "cannot start");
        r = add_sources(l);
        if (r < 0)
                return log_error_errno(r, "cannot make the event loop");
        r = backend_choose(l, arg_pool, arg_backend, &e);
        if (r < 0)
                return log_full_reeve_error(LOG_ERR, &e, "cannot start");
        if (!l->pool_scope.path[0])
                net_counters_start(&l->net, l->records_fd, false);
        recover_all(l);
        r = server_start(l, &e);
        if (r < 0)
                return log_full_reeve_error(LOG_ERR, &e, "cannot listen");

        log_info("ready, backend %s%s%s", record_backend_name(l->backend), l->pool.path[0] ? ", pool " : "",
                 l->pool.path);
        sd_notify(0, "READY=1");
        r = sd_event_loop(l->event);
        sd_notify(0, "STOPPING=1");
        return r;
}

int main(int argc, char **argv)
{
        static Launcher launcher;
        ReeveError e = REEVE_ERROR_NULL;

        log_init("reeve-launcher");
        CRASH_INIT();
        int r = parse_argv(argc, argv);
        if (r <= 0)
                return -r;
        if (instance_init(&launcher.instance, arg_root, arg_prefix, &e) < 0) {
                log_full_reeve_error(LOG_ERR, &e, "--root");
                return 2;
        }
        r = run(&launcher);
        launcher_done(&launcher);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* reeved: the registry daemon. Options, signals, and the loop; everything else is daemon.c's.
 *
 * SIGTERM and SIGINT end it; SIGHUP is daemon.c's. Its end is nothing that needs care: tasks go on without it, what was
 * answered is on disk, and what was not is said again by whoever asked. So the exit status says only whether it could
 * begin, and a supervisor may start it again at once. */

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#include "basic/crash.h"
#include "basic/log.h"
#include "basic/sched.h"
#include "basic/strings.h"
#include "common/error-table.h"
#include "daemon/bus/registry-bus.h"
#include "daemon/daemon.h"

static const char *arg_root;
static const char *arg_prefix;
static const char *arg_bus;
static const char *arg_bus_name;

static int help(void)
{
        printf("reeved [OPTIONS...]\n\n"
               "The registry of tasks: answers on varlink, keeps the database, supervises.\n\n"
               "  -h --help         Show this help\n"
               "     --version      Show the version\n"
               "     --root=DIR     Serve the private instance whose files are below DIR\n"
               "     --prefix=NAME  Begin the names of cgroups with NAME (default: from the root)\n"
               "     --bus=WHERE    Serve D-Bus there: system, session, none, or an address\n"
               "                    (default: system; none for a private instance)\n"
               "     --bus-name=NAME\n"
               "                    Take that name on the bus (default: " REGISTRY_BUS_NAME ",\n"
               "                    which a private instance may not have)\n\n"
               "See reeved(8) and reeved.conf(5).\n");
        return 0;
}

/* 1: go on, 0: done, negative: not understood. */
static int parse_arguments(int argc, char *argv[])
{
        enum {
                ARG_VERSION = 0x100,
                ARG_ROOT,
                ARG_PREFIX,
                ARG_BUS,
                ARG_BUS_NAME,
        };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                { "root", required_argument, NULL, ARG_ROOT },
                { "prefix", required_argument, NULL, ARG_PREFIX },
                { "bus", required_argument, NULL, ARG_BUS },
                { "bus-name", required_argument, NULL, ARG_BUS_NAME },
                { 0 },
        };

        for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) >= 0;)
                switch (c) {
                case 'h':
                        return help();
                case ARG_VERSION:
                        puts("reeved " REEVE_VERSION);
                        return 0;
                case ARG_ROOT:
                        arg_root = optarg;
                        break;
                case ARG_PREFIX:
                        arg_prefix = optarg;
                        break;
                case ARG_BUS:
                        arg_bus = optarg;
                        break;
                case ARG_BUS_NAME:
                        arg_bus_name = optarg;
                        break;
                default:
                        return -EINVAL;
                }
        if (optind < argc) {
                log_error("unexpected argument '%s', see reeved --help", argv[optind]);
                return -EINVAL;
        }
        return 1;
}

static int add_signals(sd_event *event)
{
        sigset_t set;
        int r;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP); /* the daemon's: threads that it starts must not take it */
        sigprocmask(SIG_BLOCK, &set, NULL);
        signal(SIGPIPE, SIG_IGN);
        if ((r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL)) < 0)
                return r;
        return sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
}

/* The well-known name is the system instance's: whoever calls it must not reach somebody's experiment. */
static int choose_bus(const Instance *instance, DaemonBus *ret, ReeveError *reterr)
{
        bool private = instance->root[0];
        const char *address = arg_bus ?: private ? "none" : "system";
        const char *name = arg_bus_name ?: private ? NULL : REGISTRY_BUS_NAME;

        *ret = (DaemonBus){ 0 };
        if (streq(address, "none"))
                return 0;
        if (!name || (private && streq(name, REGISTRY_BUS_NAME)))
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "bus-name",
                                       "a private instance needs a name of its own on the bus: --bus-name=");
        if (sd_bus_service_name_is_valid(name) <= 0)
                return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, "bus-name",
                                       "'%.64s' is not a name that a bus gives", name);
        *ret = (DaemonBus){ address, name };
        return 0;
}

static int run(void)
{
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(daemon_freep) Daemon *daemon = NULL;
        ReeveError e = REEVE_ERROR_NULL;
        Instance instance;
        DaemonBus bus;
        int r;

        r = instance_init(&instance, arg_root, arg_prefix, &e);
        if (r >= 0)
                r = choose_bus(&instance, &bus, &e);
        if (r < 0)
                goto fail;
        r = sd_event_default(&event);
        if (r >= 0)
                r = add_signals(event);
        if (r < 0) {
                reeve_error_errno(&e, r, NULL, "cannot make the event loop");
                goto fail;
        }
        sd_event_set_watchdog(event, true);
        r = daemon_new(event, &instance, &bus, &daemon, &e);
        if (r < 0)
                goto fail;
        /* The loop has the deadlines; the threads, which have been made, have work that takes its time. */
        r = sched_be_prompt();
        if (r < 0)
                log_debug_errno(r, "deadlines may have to wait for other threads");

        sd_notify(false, "READY=1\nSTATUS=Serving");
        log_info("serving");
        r = sd_event_loop(event);
        sd_notify(false, "STOPPING=1");
        return r < 0 ? error_table_get(REEVE_ERROR_INTERNAL)->exit_status : 0;

fail:
        log_full_reeve_error(LOG_ERR, &e, e.field[0] ? e.field : "cannot start");
        return error_table_get(e.code)->exit_status;
}

int main(int argc, char *argv[])
{
        log_init("reeved");
        CRASH_INIT();
        int r = parse_arguments(argc, argv);
        if (r <= 0)
                return r < 0 ? error_table_get(REEVE_ERROR_INVALID_ARGUMENT)->exit_status : 0;
        if (sodium_init() < 0) {
                log_error("libsodium cannot be used");
                return error_table_get(REEVE_ERROR_INTERNAL)->exit_status;
        }
        return run();
}

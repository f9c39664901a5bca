/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* People who know systemd-run try what they know. "There is no such property" would be true and no help: the property
 * exists, and there is a reason why a task cannot have it. This table has the reasons and decides nothing; a property
 * that is missing from it is refused all the same. A "*" stands for any beginning or end of a name. */

#include "libreeve/exclusion.h"

#include <string.h>

#include "basic/strings.h"

#define ACTS   "it makes the service manager act on the whole host"
#define ORDERS "a task stands beside the graph of units and binds none of them"
#define PLACE  "reeve places the scopes of tasks; root may choose with --slice"
#define TREE   "the tree below a task's scope is reeve's, for its accounts"
#define ENDS   "how a task ends is the keeper's, or the last account would be lost"
#define TIME   "a task's time is limited by its deadline, of which there is a record: see --sla"

static const struct {
        const char *pattern, *why;
} exclusions[] = {
        { "*Action", ACTS },
        { "RebootArgument", ACTS },
        { "*ActionExitStatus", ACTS },
        { "JobTimeout*", ACTS },
        { "JobRunningTimeout*", ACTS },
        { "StartLimit*", ACTS },
        { "After", ORDERS },
        { "Before", ORDERS },
        { "Wants", ORDERS },
        { "WantedBy", ORDERS },
        { "Require*", ORDERS },
        { "Requisite*", ORDERS },
        { "BindsTo", ORDERS },
        { "BoundBy", ORDERS },
        { "PartOf", ORDERS },
        { "Upholds", ORDERS },
        { "Conflicts", ORDERS },
        { "OnFailure*", ORDERS },
        { "OnSuccess*", ORDERS },
        { "Propagates*", ORDERS },
        { "*PropagatedFrom", ORDERS },
        { "JoinsNamespaceOf", ORDERS },
        { "WantsMountsFor", ORDERS },
        { "DefaultDependencies", ORDERS },
        { "AddRef", ORDERS },
        { "Slice", PLACE },
        { "PIDs", "it would take processes into the scope that are not the task's" },
        { "PIDFDs", "it would take processes into the scope that are not the task's" },
        { "Delegate*", TREE },
        { "DisableControllers", TREE },
        { "BPFProgram", "it would stand between the task and reeve's counters" },
        { "IP*FilterPath", "it would stand between the task and reeve's counters" },
        { "Kill*", ENDS },
        { "SendSIG*", ENDS },
        { "*KillSignal", ENDS },
        { "WatchdogSignal", ENDS },
        { "OOMPolicy", ENDS },
        { "CollectMode", ENDS },
        { "TimeoutStopUSec", "write TimeoutStopSec" },
        { "TimeoutAbort*", ENDS },
        { "RuntimeMax*", TIME },
        { "RuntimeRandomizedExtra*", TIME },
        { "Description", "write --title or --description" },
        { "User", "write --uid" },
        { "Group", "write --gid" },
        { "Exec*", "a task has one command, which stands behind the options" },
};

static bool matches(const char *pattern, const char *name)
{
        size_t n = strlen(name), star = strcspn(pattern, "*");

        if (!pattern[star])
                return streq(pattern, name);
        const char *end = pattern + star + 1;
        return n >= star + strlen(end) && strncmp(name, pattern, star) == 0 &&
               streq(name + n - strlen(end), end);
}

const char *property_exclusion(const char *name)
{
        assert(name);

        for (size_t i = 0; i < ELEMENTSOF(exclusions); i++)
                if (matches(exclusions[i].pattern, name))
                        return exclusions[i].why;
        return NULL;
}

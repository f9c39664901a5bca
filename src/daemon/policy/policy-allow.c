/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who may run tasks: `allow: {users: [...], groups: [...]}`.
 *
 * Names are looked up once, when the files are read, on a thread that may wait for a directory server. A name that this
 * host does not know is no fault (the group comes with another package, the policy is checked on another machine): it
 * allows nobody. Numbers are taken as they are. The groups of a caller come from the kernel, so a user who was just put
 * into a group must log in again, as for files.
 *
 * Root is always allowed, here as everywhere: it could become whom it likes. */

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "basic/parse.h"
#include "daemon/policy/policy-internal.h"

#define NAMES_MAX 256

static const char *const allow_keys[] = { "users", "groups", NULL };

static int check_names(PolicyReader *r, const YamlNode *list)
{
        char shown[YAML_SHOWN_SIZE];
        size_t n = 0;

        int x = policy_want_kind(r, list, YAML_KIND_SEQUENCE, "a list of names");
        if (x < 0)
                return x;
        for (const YamlNode *child = list->first; child; child = child->next) {
                if ((x = policy_want_scalar(r, child, "a list of names")) < 0)
                        return x;
                if (strlen(child->text) > 255 || strpbrk(child->text, ":,/ \t\n"))
                        return policy_refuse(r, child->place, "'%s' is no name of a user or group",
                                             yaml_shown(child->text, shown));
                if (++n > NAMES_MAX)
                        return policy_refuse(r, child->place, "there are more than %d names", NAMES_MAX);
        }
        return 0;
}

/* Only checks: what is looked up belongs to the layer, not to a task. */
int policy_read_allow(PolicyReader *r, const PolicyKey *k, const YamlNode *node)
{
        int ignored, x;

        if ((x = policy_want_kind(r, node, YAML_KIND_MAPPING, "a mapping, {users: [...], groups: [...]}")) <
            0)
                return x;
        if (!node->first)
                return policy_refuse(r, node->place, "'allow' names nobody: write users, groups or both");
        for (const YamlNode *child = node->first; child; child = child->next)
                if ((x = policy_want_key(r, child, allow_keys, &ignored)) < 0 ||
                    (x = check_names(r, child)) < 0)
                        return x;
        return 0;
}

/* ---- looking up ---- */

static char *name_buffer(size_t *ret_size)
{
        *ret_size = 1024 * 1024; /* a group's entry has all its members */
        return malloc(*ret_size);
}

/* True if there is such a user. */
static bool find_user(const char *name, char *buffer, size_t size, uid_t *ret)
{
        struct passwd pw, *found = NULL;
        uint32_t number;

        if (parse_u32(name, &number) >= 0) {
                *ret = number;
                return true;
        }
        if (getpwnam_r(name, &pw, buffer, size, &found) != 0 || !found)
                return false;
        *ret = found->pw_uid;
        return true;
}

static bool find_group(const char *name, char *buffer, size_t size, gid_t *ret)
{
        struct group gr, *found = NULL;
        uint32_t number;

        if (parse_u32(name, &number) >= 0) {
                *ret = number;
                return true;
        }
        if (getgrnam_r(name, &gr, buffer, size, &found) != 0 || !found)
                return false;
        *ret = found->gr_gid;
        return true;
}

int policy_allow_lookup(const YamlNode *node, PolicyAllow *ret)
{
        const YamlNode *users = yaml_node_get(node, "users"), *groups = yaml_node_get(node, "groups");
        size_t size;

        assert(ret);

        *ret = (PolicyAllow){ .uids = NEW0(uid_t, NAMES_MAX), .gids = NEW0(gid_t, NAMES_MAX) };
        _cleanup_free_ char *buffer = name_buffer(&size);
        if (!buffer || !ret->uids || !ret->gids) {
                policy_allow_done(ret);
                return -ENOMEM;
        }
        for (const YamlNode *child = users ? users->first : NULL; child; child = child->next)
                ret->n_uids += find_user(child->text, buffer, size, ret->uids + ret->n_uids);
        for (const YamlNode *child = groups ? groups->first : NULL; child; child = child->next)
                ret->n_gids += find_group(child->text, buffer, size, ret->gids + ret->n_gids);
        return 0;
}

void policy_allow_done(PolicyAllow *a)
{
        assert(a);

        free(a->uids);
        free(a->gids);
        *a = (PolicyAllow){ 0 };
}

bool policy_allow_passes(const PolicyAllow *a, const PolicyQuery *q)
{
        assert(a);
        assert(q);

        if (q->uid == 0)
                return true;
        for (size_t i = 0; i < a->n_uids; i++)
                if (a->uids[i] == q->uid)
                        return true;
        for (size_t i = 0; i < a->n_gids; i++)
                for (size_t k = 0; k < q->n_groups; k++)
                        if (a->gids[i] == q->groups[k])
                                return true;
        return false;
}

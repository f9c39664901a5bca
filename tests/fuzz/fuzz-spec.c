/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The specification comes from any user of the host and is read by root. For any bytes: what is refused says why
 * and leaves nothing behind; what is accepted can be written again, and what was written is written the same way
 * when it is read once more. Values of unit properties are read as the launcher reads them. */

#include "common/spec/spec.h"

#include <string.h>

#include "common/unit-property/unit-property.h"
#include "tests/fuzz/fuzz.h"

static void check_refused(const Spec *s, const ReeveError *e)
{
        assert(e->code != REEVE_ERROR_NONE);
        assert(e->field[0] != '\0' && e->text[0] != '\0');
        assert(!s->argv && !s->env && !s->verify && !s->groups && !s->limit_names);
}

static void check_accepted(const Spec *s)
{
        assert(s->n_argv >= 1 && s->argv[0][0] != '\0' && !s->argv[s->n_argv]);
        assert(!s->env[s->n_env]);
        for (size_t i = 0; i < s->n_env; i++)
                assert(strchr(s->env[i], '=') > s->env[i]);
        assert(s->cwd[0] == '/');
        assert(s->attempts >= 1 && s->attempts <= 1000);
        assert(s->uid != UINT32_MAX && s->gid != UINT32_MAX);
        for (int i = 0; i < RLIM_NLIMITS; i++)
                assert(s->rlimits[i].soft <= s->rlimits[i].hard);
}

/* The launcher reads the values of properties, too. What a user may set root may set, and what may be set can be read. */
static void check_properties(const Spec *s)
{
        for (size_t i = 0; i < s->n_properties; i++) {
                const SpecLimit *l = s->properties + i;
                UnitPropertyValue v;
                UnitProperty p;

                bool root = unit_property_check(l->name, l->value, 0, NULL) >= 0;
                bool user = unit_property_check(l->name, l->value, 1000, NULL) >= 0;
                assert(root || !user);
                if (!root)
                        continue;
                assert(unit_property_find(l->name, &p) >= 0 && unit_property_parse(&p, l->value, &v) >= 0);
                assert(v.n_bits <= sizeof(v.bits) && v.address_size <= sizeof(v.address));
                assert(v.prefix <= 8 * v.address_size);
        }
}

static void check_round_trip(const Spec *s)
{
        _cleanup_free_ char *once = NULL, *twice = NULL;
        size_t n_once, n_twice;
        Spec again;

        /* Numbers may be written longer than they came ("0" for a umask becomes "0000"), so one that fills the room
         * may not fit any more; that is the only reason. */
        ReeveError e = REEVE_ERROR_NULL;
        if (spec_format(s, &once, &n_once, &e) < 0) {
                assert(e.code == REEVE_ERROR_LIMIT_EXCEEDED);
                return;
        }
        assert(spec_parse(&again, once, n_once, &e) >= 0);
        assert(spec_format(&again, &twice, &n_twice, &e) >= 0);
        assert(n_once == n_twice && memcmp(once, twice, n_once) == 0);
        spec_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        ReeveError e = REEVE_ERROR_NULL;
        Spec s;

        if (spec_parse(&s, (const char *)data, size, &e) < 0) {
                check_refused(&s, &e);
                return 0;
        }
        check_accepted(&s);
        check_properties(&s);
        check_round_trip(&s);
        spec_done(&s);
        return 0;
}

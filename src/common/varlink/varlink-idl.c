/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Parser of varlink's interface definition language, by recursive descent:
 *
 *     interface := "interface" name { member }
 *     member    := "type" Name (struct | enum) | "method" Name struct "->" struct | "error" Name struct
 *     struct    := "(" [ field ":" type { "," field ":" type } ] ")"
 *     enum      := "(" field { "," field } ")"
 *     type      := ["?"] { "[]" ["?"] | "[string]" ["?"] } (plain | Name | struct | enum)
 *     plain     := "bool" | "int" | "float" | "string" | "object" | "any"
 *
 * Whitespace and comments (# to the end of the line) may stand between any two tokens; "any" is systemd's
 * addition. The words of the language are no reserved names: fields are called "type" or "object" in real
 * interfaces.
 *
 * Types are a tree that owns its children; a type that is used by name is resolved at the end and
 * borrowed, so interfaces may be recursive. Nesting is bounded by TYPE_DEPTH_MAX, for the recursion of
 * parser, check and destructor. The check's recursion is bounded by the nesting of the value, which
 * json_parse() bounds: each step into a name or a "?" is followed by one into the value, as names are of
 * structs and enums only and "??" is refused. */

#include "common/varlink/varlink-idl.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "basic/hash.h"
#include "basic/strings.h"

#define TYPE_DEPTH_MAX 64

struct VarlinkIdl {
        char *name;
        VarlinkMember **members;
        size_t n_members;
        Hash *by_name;
};

typedef struct Parser {
        const char *text;
        size_t size;
        size_t at;
        unsigned depth;
        VarlinkIdl *idl;
        ReeveError *reterr;
} Parser;

static VarlinkType *type_free(VarlinkType *t)
{
        if (!t)
                return NULL;
        if (t->kind != VARLINK_TYPE_NAMED)
                type_free(t->element);
        for (size_t i = 0; i < t->n_fields; i++) {
                free(t->fields[i].name);
                type_free(t->fields[i].type);
        }
        free(t->fields);
        free(t->name);
        free(t);
        return NULL;
}
DEFINE_CLEANUP_FUNC(VarlinkType *, type_free)

static VarlinkMember *member_free(VarlinkMember *m)
{
        if (!m)
                return NULL;
        type_free(m->input);
        type_free(m->output);
        free(m->name);
        free(m);
        return NULL;
}
DEFINE_CLEANUP_FUNC(VarlinkMember *, member_free)

VarlinkIdl *varlink_idl_free(VarlinkIdl *idl)
{
        if (!idl)
                return NULL;
        for (size_t i = 0; i < idl->n_members; i++)
                member_free(idl->members[i]);
        free(idl->members);
        hash_free(idl->by_name);
        free(idl->name);
        free(idl);
        return NULL;
}

static int fail_at(Parser *p, size_t at, const char *what, const char *detail)
{
        size_t line = 1, column = 1;

        for (size_t i = 0; i < at && i < p->size; i++) {
                column = p->text[i] == '\n' ? 1 : column + 1;
                line += p->text[i] == '\n';
        }
        return reeve_error_set(p->reterr, REEVE_ERROR_INVALID_ARGUMENT, NULL, "%zu:%zu: %s%s", line, column,
                               what, detail);
}

static int fail_memory(Parser *p)
{
        return reeve_error_errno(p->reterr, ENOMEM, NULL, "parsing an interface definition");
}

static void skip_blank(Parser *p)
{
        while (p->at < p->size) {
                char c = p->text[p->at];
                if (c == '#') {
                        const char *end = memchr(p->text + p->at, '\n', p->size - p->at);
                        p->at = end ? (size_t)(end - p->text) : p->size;
                } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
                        p->at++;
                else
                        return;
        }
}

static bool at_end(Parser *p)
{
        skip_blank(p);
        return p->at == p->size;
}

/* Skips `token` if it comes next. */
static bool accept(Parser *p, const char *token)
{
        size_t n = strlen(token);

        skip_blank(p);
        if (p->size - p->at < n || memcmp(p->text + p->at, token, n) != 0)
                return false;
        p->at += n;
        return true;
}

static int expect(Parser *p, const char *token)
{
        return accept(p, token) ? 0 : fail_at(p, p->at, "expected ", token);
}

/* The run of letters, digits and `also` that comes next; its length may be 0. */
static size_t word(Parser *p, const char *also, const char **ret)
{
        size_t n = 0;

        skip_blank(p);
        *ret = p->text + p->at;
        while (p->at + n < p->size) {
                unsigned char c = (unsigned char)p->text[p->at + n];
                if (c >= 128 || c == 0 || (!isalnum(c) && !strchr(also, c)))
                        break;
                n++;
        }
        return n;
}

/* A keyword must end where its word ends: "intx" is not "int". */
static bool accept_keyword(Parser *p, const char *keyword)
{
        const char *w;
        size_t n = word(p, "_", &w);

        if (n != strlen(keyword) || memcmp(w, keyword, n) != 0)
                return false;
        p->at += n;
        return true;
}

static int take_word(Parser *p, const char *w, size_t n, char **ret)
{
        *ret = strndup(w, n);
        if (!*ret)
                return fail_memory(p);
        p->at += n;
        return 0;
}

/* Letters, digits and single underscores within; begins with a letter. */
static int parse_field_name(Parser *p, char **ret)
{
        const char *w;
        size_t n = word(p, "_", &w);
        bool valid = n > 0 && isalpha((unsigned char)w[0]) && w[n - 1] != '_';

        for (size_t i = 1; valid && i < n; i++)
                valid = w[i] != '_' || w[i - 1] != '_';
        return valid ? take_word(p, w, n, ret) : fail_at(p, p->at, "expected a field name", "");
}

static int parse_member_name(Parser *p, char **ret)
{
        const char *w;
        size_t n = word(p, "", &w);

        if (n == 0 || !isupper((unsigned char)w[0]))
                return fail_at(p, p->at, "expected a name that begins with a capital letter", "");
        return take_word(p, w, n, ret);
}

/* Reverse domain name: at least two labels of letters, digits and inner dashes, the first begins with a
 * letter. */
static int parse_interface_name(Parser *p, char **ret)
{
        const char *w;
        size_t n = word(p, ".-", &w), labels = 1;
        bool valid = n > 0 && isalpha((unsigned char)w[0]) && isalnum((unsigned char)w[n - 1]);

        for (size_t i = 1; valid && i < n; i++) {
                if (w[i] == '.')
                        labels++;
                valid = isalnum((unsigned char)w[i]) || (w[i] == '-' && w[i - 1] != '.') ||
                        (w[i] == '.' && isalnum((unsigned char)w[i - 1]));
        }
        if (!valid || labels < 2)
                return fail_at(p, p->at, "expected an interface name such as org.example.thing", "");
        return take_word(p, w, n, ret);
}

static int new_type(Parser *p, VarlinkTypeKind kind, VarlinkType **ret)
{
        *ret = NEW0(VarlinkType, 1);
        if (!*ret)
                return fail_memory(p);
        (*ret)->kind = kind;
        return 0;
}

static int parse_type(Parser *p, VarlinkType **ret);

/* Appends an empty field; NULL when memory is short. */
static VarlinkField *add_field(VarlinkType *t)
{
        /* grows at powers of two */
        if ((t->n_fields & (t->n_fields - 1)) == 0) {
                size_t room = t->n_fields > 0 ? t->n_fields * 2 : 1;
                VarlinkField *fields = reallocarray(t->fields, room, sizeof(VarlinkField));
                if (!fields)
                        return NULL;
                t->fields = fields;
        }
        VarlinkField *f = t->fields + t->n_fields++;
        *f = (VarlinkField){ 0 };
        return f;
}

static int check_unique_field(Parser *p, const VarlinkType *t, size_t at)
{
        const char *name = t->fields[t->n_fields - 1].name;

        for (size_t i = 0; i + 1 < t->n_fields; i++)
                if (streq(t->fields[i].name, name))
                        return fail_at(p, at, "field defined twice: ", name);
        return 0;
}

/* A struct or an enum, after its "(": which of them, the first field tells. */
static int parse_fields(Parser *p, VarlinkType *t)
{
        t->kind = VARLINK_TYPE_STRUCT;
        if (accept(p, ")"))
                return 0;

        do {
                VarlinkField *f = add_field(t);
                if (!f)
                        return fail_memory(p);
                skip_blank(p);
                size_t at = p->at;
                int r = parse_field_name(p, &f->name);
                if (r < 0)
                        return r;
                r = check_unique_field(p, t, at);
                if (r < 0)
                        return r;

                bool typed = accept(p, ":");
                if (t->n_fields == 1)
                        t->kind = typed ? VARLINK_TYPE_STRUCT : VARLINK_TYPE_ENUM;
                if (typed != (t->kind == VARLINK_TYPE_STRUCT))
                        return fail_at(p, at, "either all fields have a type or none", "");
                if (typed) {
                        r = parse_type(p, &f->type);
                        if (r < 0)
                                return r;
                }
        } while (accept(p, ","));

        return expect(p, ")");
}

static int parse_parentheses(Parser *p, VarlinkType **ret)
{
        _cleanup_(type_freep) VarlinkType *t = NULL;

        int r = expect(p, "(");
        if (r < 0)
                return r;
        if (++p->depth > TYPE_DEPTH_MAX)
                return fail_at(p, p->at, "types are nested too deeply", "");
        r = new_type(p, VARLINK_TYPE_STRUCT, &t);
        if (r < 0)
                return r;
        r = parse_fields(p, t);
        if (r < 0)
                return r;
        p->depth--;
        *ret = TAKE_PTR(t);
        return 0;
}

static int parse_struct(Parser *p, VarlinkType **ret)
{
        _cleanup_(type_freep) VarlinkType *t = NULL;

        skip_blank(p);
        size_t at = p->at;
        int r = parse_parentheses(p, &t);
        if (r < 0)
                return r;
        if (t->kind != VARLINK_TYPE_STRUCT)
                return fail_at(p, at, "parameters need types", "");
        *ret = TAKE_PTR(t);
        return 0;
}

/* "?", "[]" or "[string]" was read: what follows is the element. */
static int parse_wrapped(Parser *p, VarlinkTypeKind kind, VarlinkType **ret)
{
        _cleanup_(type_freep) VarlinkType *t = NULL;

        if (++p->depth > TYPE_DEPTH_MAX)
                return fail_at(p, p->at, "types are nested too deeply", "");
        int r = new_type(p, kind, &t);
        if (r < 0)
                return r;
        skip_blank(p);
        size_t at = p->at;
        r = parse_type(p, &t->element);
        if (r < 0)
                return r;
        if (kind == VARLINK_TYPE_MAYBE && t->element->kind == VARLINK_TYPE_MAYBE)
                return fail_at(p, at, "one ? is enough", "");
        p->depth--;
        *ret = TAKE_PTR(t);
        return 0;
}

static int parse_named(Parser *p, VarlinkType **ret)
{
        _cleanup_(type_freep) VarlinkType *t = NULL;
        const char *w;
        size_t n = word(p, "", &w);

        if (n == 0 || !isupper((unsigned char)w[0]))
                return fail_at(p, p->at, "expected a type", "");
        int r = new_type(p, VARLINK_TYPE_NAMED, &t);
        if (r < 0)
                return r;
        t->definition = p->at;
        r = take_word(p, w, n, &t->name);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(t);
        return 0;
}

static int parse_type(Parser *p, VarlinkType **ret)
{
        static const struct {
                const char *keyword;
                VarlinkTypeKind kind;
        } plain[] = {
                { "bool", VARLINK_TYPE_BOOL },     { "int", VARLINK_TYPE_INT },
                { "float", VARLINK_TYPE_FLOAT },   { "string", VARLINK_TYPE_STRING },
                { "object", VARLINK_TYPE_OBJECT }, { "any", VARLINK_TYPE_ANY },
        };

        if (accept(p, "?"))
                return parse_wrapped(p, VARLINK_TYPE_MAYBE, ret);
        if (accept(p, "[string]"))
                return parse_wrapped(p, VARLINK_TYPE_MAP, ret);
        if (accept(p, "[]"))
                return parse_wrapped(p, VARLINK_TYPE_ARRAY, ret);
        for (size_t i = 0; i < ELEMENTSOF(plain); i++)
                if (accept_keyword(p, plain[i].keyword))
                        return new_type(p, plain[i].kind, ret);
        skip_blank(p);
        if (p->at < p->size && p->text[p->at] == '(')
                return parse_parentheses(p, ret);
        return parse_named(p, ret);
}

static int parse_member_body(Parser *p, VarlinkMember *m)
{
        int r = m->kind == VARLINK_MEMBER_TYPE ? parse_parentheses(p, &m->input)
                                               : parse_struct(p, &m->input);
        if (r < 0 || m->kind != VARLINK_MEMBER_METHOD)
                return r;
        r = expect(p, "->");
        return r < 0 ? r : parse_struct(p, &m->output);
}

static int parse_member(Parser *p)
{
        _cleanup_(member_freep) VarlinkMember *m = NEW0(VarlinkMember, 1);
        if (!m)
                return fail_memory(p);

        if (accept_keyword(p, "method"))
                m->kind = VARLINK_MEMBER_METHOD;
        else if (accept_keyword(p, "error"))
                m->kind = VARLINK_MEMBER_ERROR;
        else if (accept_keyword(p, "type"))
                m->kind = VARLINK_MEMBER_TYPE;
        else
                return fail_at(p, p->at, "expected type, method or error", "");

        skip_blank(p);
        size_t at = p->at;
        int r = parse_member_name(p, &m->name);
        if (r < 0)
                return r;
        if (hash_get(p->idl->by_name, m->name))
                return fail_at(p, at, "defined twice: ", m->name);
        r = parse_member_body(p, m);
        if (r < 0)
                return r;

        VarlinkMember **members = reallocarray(p->idl->members, p->idl->n_members + 1, sizeof(*members));
        if (!members)
                return fail_memory(p);
        p->idl->members = members;
        if (hash_put(p->idl->by_name, m->name, m) < 0)
                return fail_memory(p);
        members[p->idl->n_members++] = TAKE_PTR(m);
        return 0;
}

/* Gives each use of a name its type. */
static int resolve(Parser *p, VarlinkType *t)
{
        if (!t)
                return 0;
        if (t->kind == VARLINK_TYPE_NAMED) {
                const VarlinkMember *m = varlink_idl_find(p->idl, VARLINK_MEMBER_TYPE, t->name);
                if (!m)
                        return fail_at(p, t->definition, "no such type: ", t->name);
                t->element = m->input;
                return 0;
        }

        int r = resolve(p, t->element);
        for (size_t i = 0; r >= 0 && i < t->n_fields; i++)
                r = resolve(p, t->fields[i].type);
        return r;
}

static int parse_idl(Parser *p)
{
        if (!accept_keyword(p, "interface"))
                return fail_at(p, p->at, "expected interface", "");
        int r = parse_interface_name(p, &p->idl->name);
        while (r >= 0 && !at_end(p))
                r = parse_member(p);
        for (size_t i = 0; r >= 0 && i < p->idl->n_members; i++) {
                r = resolve(p, p->idl->members[i]->input);
                if (r >= 0)
                        r = resolve(p, p->idl->members[i]->output);
        }
        return r;
}

int varlink_idl_parse(const char *text, size_t size, VarlinkIdl **ret, ReeveError *reterr)
{
        assert(text || size == 0);
        assert(ret);

        _cleanup_(varlink_idl_freep) VarlinkIdl *idl = NEW0(VarlinkIdl, 1);
        Parser p = { .text = text ?: "", .size = size, .idl = idl, .reterr = reterr };
        if (!idl)
                return fail_memory(&p);
        idl->by_name = hash_new();
        if (!idl->by_name)
                return fail_memory(&p);
        int r = parse_idl(&p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(idl);
        return 0;
}

const char *varlink_idl_name(const VarlinkIdl *idl)
{
        assert(idl);

        return idl->name;
}

size_t varlink_idl_n_members(const VarlinkIdl *idl)
{
        assert(idl);

        return idl->n_members;
}

const VarlinkMember *varlink_idl_member_at(const VarlinkIdl *idl, size_t index)
{
        assert(idl);
        assert(index < idl->n_members);

        return idl->members[index];
}

const VarlinkMember *varlink_idl_find(const VarlinkIdl *idl, VarlinkMemberKind kind, const char *name)
{
        assert(idl);
        assert(name);

        const VarlinkMember *m = hash_get(idl->by_name, name);
        return m && m->kind == kind ? m : NULL;
}

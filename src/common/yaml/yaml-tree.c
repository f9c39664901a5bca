/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* libyaml's events are turned into nodes by hand, not by its document loader, because only the events show
 * what we refuse (anchors, tags, the second document) and where each thing stands, and because the bounds
 * must hold while the text is read, not after. With aliases refused, a tree is never larger than its text.
 *
 * The builder is a stack of the mappings and sequences that are open. In a mapping, scalars come in turns:
 * a key is kept in the frame until its value comes. A node is linked into the tree as soon as it exists,
 * so that freeing the tree frees everything, whatever happens. Freeing recurses, but no deeper than
 * YAML_TREE_DEPTH_MAX.
 *
 * Duplicate keys are looked for by walking the siblings: quadratic, but over YAML_TREE_NODES_MAX nodes at
 * the most. */

#include "common/yaml/yaml-tree.h"

#include <errno.h>
#include <stdio.h>
#include <yaml.h>

#include "basic/fd.h"
#include "basic/strings.h"

typedef struct Frame {
        YamlNode *node;
        YamlNode *last; /* child */
        char *key;      /* that waits for its value; owned */
        YamlPlace key_place;
} Frame;

typedef struct Builder {
        YamlTree *tree;
        ReeveError *reterr;
        Frame frames[YAML_TREE_DEPTH_MAX];
        unsigned depth;
        unsigned n_nodes;
        bool had_document;
} Builder;

/* ---- messages ---- */

int yaml_error(ReeveError *reterr, const char *source, YamlPlace place, const char *field,
               const char *format, ...)
{
        char text[sizeof(((ReeveError *)NULL)->text)];
        va_list ap;

        assert(source);
        assert(format);

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        return reeve_error_set(reterr, REEVE_ERROR_INVALID_ARGUMENT, field, "%s:%u:%u: %s", source,
                               place.line, place.column, text);
}

char *yaml_shown(const char *text, char buffer[static YAML_SHOWN_SIZE])
{
        size_t n = 0;

        assert(text);

        for (; text[n] && n < YAML_SHOWN_SIZE - 4; n++)
                buffer[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? '?' : text[n];
        while (text[n] && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
                n--; /* not in the middle of a character */
        strcpy(buffer + n, text[n] ? "..." : "");
        return buffer;
}

static YamlPlace place_of(yaml_mark_t mark)
{
        return (YamlPlace){ (unsigned)mark.line + 1, (unsigned)mark.column + 1 };
}

static int refuse(Builder *b, yaml_mark_t mark, const char *what)
{
        return yaml_error(b->reterr, b->tree->source, place_of(mark), NULL, "%s", what);
}

/* ---- building ---- */

static void node_free(YamlNode *n)
{
        while (n) {
                YamlNode *next = n->next;
                node_free(n->first);
                free(n->text);
                free(n->key);
                free(n);
                n = next;
        }
}

YamlTree *yaml_tree_free(YamlTree *t)
{
        if (!t)
                return NULL;
        node_free(t->root);
        free(t->source);
        free(t);
        return NULL;
}

const YamlNode *yaml_node_get(const YamlNode *mapping, const char *key)
{
        assert(mapping);
        assert(key);

        for (const YamlNode *n = mapping->first; n; n = n->next)
                if (n->key && streq(n->key, key))
                        return n;
        return NULL;
}

static int copy_scalar(Builder *b, const yaml_event_t *e, char **ret)
{
        const char *value = (const char *)e->data.scalar.value;
        size_t n = e->data.scalar.length;

        if (memchr(value, '\0', n))
                return refuse(b, e->start_mark, "a text cannot contain a NUL character");
        char *copy = strndup(value, n);
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

/* A scalar that stands where a key is expected. */
static int take_key(Builder *b, Frame *f, const yaml_event_t *e)
{
        char shown[YAML_SHOWN_SIZE];

        int r = copy_scalar(b, e, &f->key);
        if (r < 0)
                return r;
        f->key_place = place_of(e->start_mark);
        const YamlNode *first = yaml_node_get(f->node, f->key);
        if (first)
                return yaml_error(b->reterr, b->tree->source, f->key_place, NULL,
                                  "key '%s' is there twice, first in line %u", yaml_shown(f->key, shown),
                                  first->key_place.line);
        return 0;
}

static void link_node(Builder *b, YamlNode *n)
{
        if (b->depth == 0) {
                b->tree->root = n;
                return;
        }

        Frame *f = &b->frames[b->depth - 1];
        n->key = TAKE_PTR(f->key);
        n->key_place = f->key_place;
        if (f->last)
                f->last->next = n;
        else
                f->node->first = n;
        f->last = n;
}

static int add_node(Builder *b, const yaml_event_t *e, YamlKind kind, YamlNode **ret)
{
        if (++b->n_nodes > YAML_TREE_NODES_MAX)
                return refuse(b, e->start_mark, "the file has too many values");
        YamlNode *n = NEW0(YamlNode, 1);
        if (!n)
                return -ENOMEM;
        n->kind = kind;
        n->place = place_of(e->start_mark);
        link_node(b, n);
        *ret = n;
        return 0;
}

static bool expects_key(const Builder *b)
{
        const Frame *f = b->depth > 0 ? &b->frames[b->depth - 1] : NULL;
        return f && f->node->kind == YAML_KIND_MAPPING && !f->key;
}

static int on_scalar(Builder *b, const yaml_event_t *e)
{
        YamlNode *n = NULL;

        if (expects_key(b))
                return take_key(b, &b->frames[b->depth - 1], e);
        int r = add_node(b, e, YAML_KIND_SCALAR, &n);
        return r < 0 ? r : copy_scalar(b, e, &n->text);
}

static int on_start(Builder *b, const yaml_event_t *e, YamlKind kind)
{
        YamlNode *n = NULL;

        if (expects_key(b))
                return refuse(b, e->start_mark, "a key must be a text");
        if (b->depth == YAML_TREE_DEPTH_MAX)
                return refuse(b, e->start_mark, "the file is nested too deeply");
        int r = add_node(b, e, kind, &n);
        if (r < 0)
                return r;
        b->frames[b->depth++] = (Frame){ .node = n };
        return 0;
}

static int check_properties(Builder *b, const yaml_event_t *e, const yaml_char_t *anchor,
                            const yaml_char_t *tag)
{
        if (anchor)
                return refuse(b, e->start_mark, "anchors and aliases are not supported");
        if (tag)
                return refuse(b, e->start_mark, "tags are not supported");
        return 0;
}

static int on_document(Builder *b, const yaml_event_t *e)
{
        if (b->had_document)
                return refuse(b, e->start_mark, "a second document is not supported");
        if (e->data.document_start.version_directive ||
            e->data.document_start.tag_directives.start != e->data.document_start.tag_directives.end)
                return refuse(b, e->start_mark, "directives are not supported");
        b->had_document = true;
        return 0;
}

static int on_event(Builder *b, const yaml_event_t *e)
{
        int r;

        switch (e->type) {
        case YAML_DOCUMENT_START_EVENT:
                return on_document(b, e);
        case YAML_ALIAS_EVENT:
                return refuse(b, e->start_mark, "anchors and aliases are not supported");
        case YAML_SCALAR_EVENT:
                r = check_properties(b, e, e->data.scalar.anchor, e->data.scalar.tag);
                return r < 0 ? r : on_scalar(b, e);
        case YAML_MAPPING_START_EVENT:
                r = check_properties(b, e, e->data.mapping_start.anchor, e->data.mapping_start.tag);
                return r < 0 ? r : on_start(b, e, YAML_KIND_MAPPING);
        case YAML_SEQUENCE_START_EVENT:
                r = check_properties(b, e, e->data.sequence_start.anchor, e->data.sequence_start.tag);
                return r < 0 ? r : on_start(b, e, YAML_KIND_SEQUENCE);
        case YAML_MAPPING_END_EVENT:
        case YAML_SEQUENCE_END_EVENT:
                assert(b->depth > 0);
                b->depth--;
                return 0;
        case YAML_NO_EVENT:
        case YAML_STREAM_START_EVENT:
        case YAML_STREAM_END_EVENT:
        case YAML_DOCUMENT_END_EVENT:
                return 0;
        }
        return 0;
}

/* libyaml knows the offset of a byte that is not UTF-8, but not its line. */
static YamlPlace place_of_offset(const char *text, size_t offset)
{
        YamlPlace p = { 1, 1 };

        for (size_t i = 0; i < offset; i++)
                if (text[i] == '\n')
                        p = (YamlPlace){ p.line + 1, 1 };
                else if (((unsigned char)text[i] & 0xc0) != 0x80)
                        p.column++;
        return p;
}

static int syntax_error(const Builder *b, const yaml_parser_t *parser, const char *text, size_t size)
{
        if (parser->error == YAML_MEMORY_ERROR)
                return -ENOMEM;

        YamlPlace place = parser->error == YAML_READER_ERROR
                                          ? place_of_offset(text, MIN(parser->problem_offset, size))
                                          : place_of(parser->problem_mark);
        const char *problem = parser->problem ? parser->problem : "not YAML";
        if (parser->context)
                return yaml_error(b->reterr, b->tree->source, place, NULL, "%s (%s)", problem,
                                  parser->context);
        return yaml_error(b->reterr, b->tree->source, place, NULL, "%s", problem);
}

static int build(Builder *b, yaml_parser_t *parser, const char *text, size_t size)
{
        for (bool more = true; more;) {
                yaml_event_t e;
                if (!yaml_parser_parse(parser, &e))
                        return syntax_error(b, parser, text, size);
                more = e.type != YAML_STREAM_END_EVENT;
                int r = on_event(b, &e);
                yaml_event_delete(&e);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int too_large(const char *source, ReeveError *reterr)
{
        return yaml_error(reterr, source, (YamlPlace){ 1, 1 }, NULL, "the file is larger than 1 MiB");
}

int yaml_tree_parse(const char *source, const char *text, size_t size, YamlTree **ret, ReeveError *reterr)
{
        yaml_parser_t parser;

        assert(source);
        assert(text);
        assert(ret);

        if (size > YAML_TREE_SIZE_MAX)
                return too_large(source, reterr);
        _cleanup_(yaml_tree_freep) YamlTree *t = NEW0(YamlTree, 1);
        if (!t || !(t->source = strdup(source)) || !yaml_parser_initialize(&parser))
                return -ENOMEM;
        yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);

        Builder b = { .tree = t, .reterr = reterr };
        int r = build(&b, &parser, text, size);
        yaml_parser_delete(&parser);
        for (unsigned i = 0; i < b.depth; i++)
                free(b.frames[i].key);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(t);
        return 0;
}

int yaml_tree_read(const char *path, YamlTree **ret, ReeveError *reterr)
{
        _cleanup_free_ char *text = NULL;
        size_t size;

        assert(path);
        assert(ret);

        int r = fd_read_file_alloc(AT_FDCWD, path, YAML_TREE_SIZE_MAX, &text, &size);
        if (r == -E2BIG)
                return too_large(path, reterr);
        if (r < 0)
                return reeve_error_errno(reterr, r, NULL, "Cannot read %s", path);
        return yaml_tree_parse(path, text, size, ret, reterr);
}

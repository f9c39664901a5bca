/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Intrusive doubly linked ring: the head is a ListLink that is never an element. */

#include <stdbool.h>

#include "basic/macro.h"

typedef struct ListLink {
        struct ListLink *next;
        struct ListLink *prev;
} ListLink;

#define LIST_INIT(head)                          \
        (ListLink)                               \
        {                                        \
                .next = &(head), .prev = &(head) \
        }

static inline void list_init(ListLink *head)
{
        head->next = head->prev = head;
}

static inline bool list_is_empty(const ListLink *head)
{
        return head->next == head;
}

/* A zeroed or removed link is not in any list. */
static inline bool list_is_linked(const ListLink *link)
{
        return link->next != NULL;
}

static inline void list_append(ListLink *head, ListLink *link)
{
        link->prev = head->prev;
        link->next = head;
        head->prev->next = link;
        head->prev = link;
}

/* Removing what is not linked does nothing. */
static inline void list_remove(ListLink *link)
{
        if (!link->next)
                return;
        link->next->prev = link->prev;
        link->prev->next = link->next;
        link->next = link->prev = NULL;
}

/* First element, removed; NULL if the list is empty. */
static inline ListLink *list_pop(ListLink *head)
{
        if (list_is_empty(head))
                return NULL;
        ListLink *link = head->next;
        list_remove(link);
        return link;
}

/* Moves all elements of `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_splice(ListLink *to, ListLink *from)
{
        if (list_is_empty(from))
                return;
        from->next->prev = to->prev;
        to->prev->next = from->next;
        from->prev->next = to;
        to->prev = from->prev;
        list_init(from);
}

#define LIST_FOREACH(head, link) for (ListLink *link = (head)->next; link != (head); link = link->next)

/* Like LIST_FOREACH; the current element may be removed or freed. */
#define LIST_FOREACH_SAFE(head, link)                                                 \
        for (ListLink *link = (head)->next, *_safe_next = link->next; link != (head); \
             link = _safe_next, _safe_next = link->next)

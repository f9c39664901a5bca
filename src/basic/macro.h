/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Compiler attributes, cleanup helpers and assertions that everything else is written with. No code. */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define _cleanup_(f)         __attribute__((cleanup(f)))
#define _printf_(a, b)       __attribute__((format(printf, a, b)))
#define _unused_             __attribute__((unused))
#define _warn_unused_result_ __attribute__((warn_unused_result))
#define _noreturn_           __attribute__((noreturn))

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))

/* Each argument is evaluated once; unique names let the macros nest. */
#define MIN(a, b)            _MINMAX(a, <, b, __COUNTER__)
#define MAX(a, b)            _MINMAX(a, >, b, __COUNTER__)
#define _MINMAX(a, op, b, n) _MINMAX_NAMED(a, op, b, n)
#define _MINMAX_NAMED(a, op, b, n)                                \
        ({                                                        \
                typeof(a) _left_##n = (a);                        \
                typeof(b) _right_##n = (b);                       \
                _left_##n op _right_##n ? _left_##n : _right_##n; \
        })
#define CLAMP(x, low, high) MIN(MAX(x, low), high)

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Hands a pointer over: the variable is NULL afterwards, so that its cleanup does nothing. */
#define TAKE_PTR(ptr)                           \
        ({                                      \
                typeof(ptr) *_take_p = &(ptr);  \
                typeof(ptr) _take_v = *_take_p; \
                *_take_p = NULL;                \
                _take_v;                        \
        })

/* Defines <func>p(), for _cleanup_(), from a destructor that takes the pointer and accepts NULL. */
#define DEFINE_CLEANUP_FUNC(type, func)              \
        static inline _unused_ void func##p(type *p) \
        {                                            \
                if (*p)                              \
                        func(*p);                    \
        }

static inline void freep(void *p)
{
        free(*(void **)p);
}

#define _cleanup_free_ _cleanup_(freep)

/* Userdata of a callback: asserts that it is there and gives it its type. */
#define ASSERT_PTR(expr)                         \
        ({                                       \
                typeof(expr) _assert_p = (expr); \
                assert(_assert_p);               \
                _assert_p;                       \
        })

/* Defined where the address sanitizer watches; gcc says so by a macro, clang 14 only when asked. */
#if defined(__SANITIZE_ADDRESS__)
#        define REEVE_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#        if __has_feature(address_sanitizer)
#                define REEVE_ADDRESS_SANITIZER 1
#        endif
#endif

/* Overflow-checked array allocation; NULL when n * sizeof(t) does not fit or memory is short. */
#define NEW(t, n)  ((t *)reallocarray(NULL, (n), sizeof(t)))
#define NEW0(t, n) ((t *)calloc((n), sizeof(t)))

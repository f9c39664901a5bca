/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The public certification of varlink implementations, both sides of it on our library:
 *
 *     varlink-certification DEFINITION SOCKET            the server, until it is terminated
 *     varlink-certification --client DEFINITION SOCKET   goes through all steps, with any server
 *
 * DEFINITION is the .varlink file. The server says "ready" on its standard output once clients can
 * connect. Both sides are one table: what a step is called with (that is what the step before returned)
 * and what it returns. The client passes on what the server returned, and checks it against the
 * interface's definition, not against the table. */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "basic/strings.h"
#include "common/json/json.h"
#include "common/varlink/varlink-client.h"
#include "common/varlink/varlink-idl.h"
#include "common/varlink/varlink-server.h"

#define INTERFACE    "org.varlink.certification"
#define SESSIONS_MAX 64
#define REPLIES_MORE 10

#define STRUCT "{\"bool\":false,\"int\":2,\"float\":3.141592653589793,\"string\":\"a lot of string\"}"
#define MAP    "{\"foo\":\"Foo\",\"bar\":\"Bar\"}"
#define SET    "{\"one\":{},\"two\":{},\"three\":{}}"
#define MYTYPE                                                                                              \
        "{\"object\":{\"method\":\"org.varlink.certification.Test09\",\"parameters\":{\"map\":" MAP "}},"   \
        "\"enum\":\"two\",\"struct\":{\"first\":1,\"second\":\"2\"},\"array\":[\"one\",\"two\",\"three\"]," \
        "\"dictionary\":" MAP ",\"stringset\":" SET ",\"interface\":{\"foo\":[null,{\"foo\":\"foo\","       \
        "\"bar\":\"bar\"},null,{\"one\":\"foo\",\"two\":\"bar\"}],\"anon\":{\"foo\":true,\"bar\":false}}}"
#define REPLY(n) "\"Reply number " #n "\""
#define LAST_REPLIES                                                                             \
        "[" REPLY(1) "," REPLY(2) "," REPLY(3) "," REPLY(4) "," REPLY(5) "," REPLY(6) "," REPLY( \
                        7) "," REPLY(8) "," REPLY(9) "," REPLY(10) "]"

typedef struct Step {
        const char *name;
        const char *wants;   /* parameters without client_id */
        const char *returns; /* NULL: see its handler */
        unsigned flags;      /* how it is to be called */
} Step;

static const Step steps[] = {
        { "Test01", "{}", "{\"bool\":true}", 0 },
        { "Test02", "{\"bool\":true}", "{\"int\":1}", 0 },
        { "Test03", "{\"int\":1}", "{\"float\":1.0}", 0 },
        { "Test04", "{\"float\":1.0}", "{\"string\":\"ping\"}", 0 },
        { "Test05", "{\"string\":\"ping\"}", STRUCT, 0 },
        { "Test06", STRUCT, "{\"struct\":" STRUCT "}", 0 },
        { "Test07", "{\"struct\":" STRUCT "}", "{\"map\":" MAP "}", 0 },
        { "Test08", "{\"map\":" MAP "}", "{\"set\":" SET "}", 0 },
        { "Test09", "{\"set\":" SET "}", "{\"mytype\":" MYTYPE "}", 0 },
        { "Test10", "{\"mytype\":" MYTYPE "}", NULL, VARLINK_CALL_MORE },
        { "Test11", "{\"last_more_replies\":" LAST_REPLIES "}", "{}", VARLINK_CALL_ONEWAY },
        { "End", "{}", "{\"all_ok\":true}", 0 },
};

typedef struct Session {
        char id[33]; /* "" if free */
        size_t next; /* index in steps */
} Session;

typedef struct Certification {
        Session sessions[SESSIONS_MAX];
        size_t newest; /* the oldest is overwritten */
} Certification;

/* The same value? 1 and 1.0 are, as not every language keeps them apart; null is the same as absent. */
static bool same(const json_t *a, const json_t *b)
{
        const char *key;
        json_t *value;

        if (json_is_number(a) && json_is_number(b))
                return json_number_value(a) == json_number_value(b);
        if (json_is_object(a) && json_is_object(b)) {
                json_object_foreach((json_t *)a, key, value)
                        if (!json_is_null(value) && !same(value, json_object_get(b, key)))
                                return false;
                json_object_foreach((json_t *)b, key, value)
                        if (!json_is_null(value) && !json_object_get(a, key))
                                return false;
                return true;
        }
        if (json_is_array(a) && json_is_array(b)) {
                for (size_t i = 0; i < json_array_size(a); i++)
                        if (!same(json_array_get(a, i), json_array_get(b, i)))
                                return false;
                return json_array_size(a) == json_array_size(b);
        }
        return json_equal(a, b);
}

static Session *find_session(Certification *c, const char *id)
{
        for (size_t i = 0; i < SESSIONS_MAX; i++)
                if (id[0] && streq(c->sessions[i].id, id))
                        return c->sessions + i;
        return NULL;
}

static int on_start(VarlinkCall *call, json_t *parameters, void *userdata)
{
        Certification *c = ASSERT_PTR((Certification *)userdata);
        unsigned char random[16];

        if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
                return -EIO;
        c->newest = (c->newest + 1) % SESSIONS_MAX;
        Session *s = c->sessions + c->newest;
        *s = (Session){ 0 };
        for (size_t i = 0; i < sizeof(random); i++)
                snprintf(s->id + 2 * i, 3, "%02x", random[i]);
        return varlink_call_reply(call, json_pack("{ss}", "client_id", s->id));
}

static int refuse(VarlinkCall *call, const char *method, json_t *wants, json_t *parameters)
{
        json_t *error = json_pack("{s{sssO}s{sssO}}", "wants", "method", method, "parameters", wants, "got",
                                  "method", varlink_call_method(call), "parameters", parameters);

        return varlink_call_error(call, INTERFACE ".CertificationError", error);
}

static int answer(VarlinkCall *call, const Step *step)
{
        if (step->returns)
                return varlink_call_reply(call, json_loads(step->returns, 0, NULL));
        for (int i = 1; i <= REPLIES_MORE; i++) {
                char text[32];
                snprintf(text, sizeof(text), "Reply number %d", i);
                json_t *reply = json_pack("{ss}", "string", text);
                int r = i < REPLIES_MORE ? varlink_call_notify(call, reply)
                                         : varlink_call_reply(call, reply);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int on_step(VarlinkCall *call, json_t *parameters, void *userdata)
{
        Session *s = find_session(ASSERT_PTR((Certification *)userdata),
                                  json_get_string(parameters, "client_id"));
        if (!s)
                return varlink_call_error(call, INTERFACE ".ClientIdError", NULL);

        const Step *step = steps + s->next++;
        _cleanup_json_ json_t *wants = json_loads(step->wants, 0, NULL);
        _cleanup_free_ char *method = string_printf("%s.%s", INTERFACE, step->name);
        if (!wants || !method || json_set_string(wants, "client_id", s->id) < 0)
                return -ENOMEM;

        bool right = streq(method, varlink_call_method(call)) && same(wants, parameters) &&
                     varlink_call_is_oneway(call) == !!(step->flags & VARLINK_CALL_ONEWAY) &&
                     varlink_call_wants_more(call) == !!(step->flags & VARLINK_CALL_MORE);
        if (!right || s->next == ELEMENTSOF(steps))
                s->id[0] = 0; /* this is its end, one way or the other */
        return right ? answer(call, step) : refuse(call, method, wants, parameters);
}

static const VarlinkMethod methods[] = {
        { "Start", on_start, 0 },
        { "Test01", on_step, 0 },
        { "Test02", on_step, 0 },
        { "Test03", on_step, 0 },
        { "Test04", on_step, 0 },
        { "Test05", on_step, 0 },
        { "Test06", on_step, 0 },
        { "Test07", on_step, 0 },
        { "Test08", on_step, 0 },
        { "Test09", on_step, 0 },
        { "Test10", on_step, VARLINK_METHOD_MORE },
        { "Test11", on_step, 0 },
        { "End", on_step, 0 },
};

static const VarlinkServerInfo info = { "reeve", "varlink-certification", REEVE_VERSION,
                                        "https://varlink.org" };

static int serve(const char *definition, const char *path)
{
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(varlink_server_freep) VarlinkServer *server = NULL;
        Certification certification = { 0 };
        const VarlinkInterface interface = { definition, methods, ELEMENTSOF(methods), &certification };
        ReeveError e = REEVE_ERROR_NULL;
        sigset_t term;

        sigemptyset(&term);
        sigaddset(&term, SIGTERM);
        sigprocmask(SIG_BLOCK, &term, NULL);

        int r = sd_event_new(&event);
        if (r >= 0)
                r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
        if (r >= 0)
                r = varlink_server_new(event, &info, &server);
        if (r < 0)
                return log_error_errno(r, "starting");
        if (varlink_server_add_interface(server, &interface, &e) < 0 ||
            varlink_server_listen_path(server, path, 0666, &e) < 0)
                return log_full_reeve_error(LOG_ERR, &e, "starting");
        puts("ready");
        fflush(stdout);
        return sd_event_loop(event);
}

/* What the server says must be of the definition's type. */
static int check_reply(const VarlinkIdl *idl, const char *name, const VarlinkReply *reply)
{
        ReeveError e = REEVE_ERROR_NULL;

        if (reply->error) {
                _cleanup_free_ char *text = json_format(reply->parameters);
                log_error("%s: %s %s", name, reply->error, text ?: "");
                return -EPROTO;
        }
        const VarlinkMember *m = varlink_idl_find(idl, VARLINK_MEMBER_METHOD, name);
        int r = varlink_type_check(m->output, reply->parameters, &e);
        return r < 0 ? log_full_reeve_error(LOG_ERR, &e, name) : 0;
}

/* Receives all replies of a call. *ret: the parameters of the last; with `more` those of the step after
 * it. */
static int receive_all(VarlinkClient *c, const VarlinkIdl *idl, const char *name, bool more, json_t **ret)
{
        _cleanup_json_ json_t *strings = json_array();
        bool continues = true;
        ReeveError e = REEVE_ERROR_NULL;

        while (continues) {
                _cleanup_(varlink_reply_done) VarlinkReply reply = { 0 };
                int r = varlink_client_receive(c, USEC_INFINITY, &reply, &e);
                if (r < 0)
                        return log_full_reeve_error(LOG_ERR, &e, name);
                r = check_reply(idl, name, &reply);
                if (r < 0)
                        return r;
                continues = reply.continues && more;
                json_array_append(strings, json_object_get(reply.parameters, "string"));
                json_decref(*ret);
                *ret = TAKE_PTR(reply.parameters);
        }
        if (more && json_array_size(strings) != REPLIES_MORE) {
                log_error("%s: %zu replies, expected %d", name, json_array_size(strings), REPLIES_MORE);
                return -EPROTO;
        }
        if (more) {
                json_decref(*ret);
                *ret = json_pack("{sO}", "last_more_replies", strings);
        }
        return *ret ? 0 : -ENOMEM;
}

static int call_step(VarlinkClient *c, const VarlinkIdl *idl, const char *name, unsigned flags,
                     json_t *parameters, json_t **ret)
{
        _cleanup_free_ char *method = string_printf("%s.%s", INTERFACE, name);
        ReeveError e = REEVE_ERROR_NULL;

        if (!method)
                return -ENOMEM;
        if (varlink_client_send(c, method, parameters, flags, NULL, 0, &e) < 0)
                return log_full_reeve_error(LOG_ERR, &e, name);
        if (flags & VARLINK_CALL_ONEWAY) {
                *ret = json_object();
                return 0;
        }
        return receive_all(c, idl, name, flags & VARLINK_CALL_MORE, ret);
}

static int certify(VarlinkClient *c, const VarlinkIdl *idl)
{
        _cleanup_json_ json_t *parameters = NULL, *start = NULL;

        int r = call_step(c, idl, "Start", 0, NULL, &start);
        if (r < 0)
                return r;
        parameters = json_object();
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                json_t *reply = NULL;
                if (json_object_set(parameters, "client_id", json_object_get(start, "client_id")) < 0)
                        return -ENOMEM;
                r = call_step(c, idl, steps[i].name, steps[i].flags, parameters, &reply);
                json_decref(parameters);
                parameters = reply;
                if (r < 0)
                        return r;
                printf("%s: passed\n", steps[i].name);
        }
        if (!json_is_true(json_object_get(parameters, "all_ok"))) {
                log_error("the server is not content");
                return -EPROTO;
        }
        puts("certification passed");
        return 0;
}

static int run_client(const char *definition, const char *path)
{
        _cleanup_(varlink_client_freep) VarlinkClient *c = NULL;
        _cleanup_(varlink_idl_freep) VarlinkIdl *idl = NULL;
        ReeveError e = REEVE_ERROR_NULL;

        if (varlink_idl_parse(definition, strlen(definition), &idl, &e) < 0 ||
            varlink_client_connect(path, &c, &e) < 0)
                return log_full_reeve_error(LOG_ERR, &e, "connecting");
        return certify(c, idl);
}

int main(int argc, char **argv)
{
        bool client = argc > 1 && streq(argv[1], "--client");
        _cleanup_free_ char *definition = NULL;

        log_init("varlink-certification");
        if (argc != (client ? 4 : 3)) {
                fprintf(stderr, "usage: %s [--client] DEFINITION SOCKET\n", argv[0]);
                return 2;
        }
        const char *file = argv[client ? 2 : 1], *path = argv[client ? 3 : 2];
        int r = fd_read_file_alloc(AT_FDCWD, file, 64 * 1024, &definition, NULL);
        if (r < 0)
                log_error_errno(r, "reading %s", file);
        else
                r = client ? run_client(definition, path) : serve(definition, path);
        return r < 0 ? 1 : 0;
}
